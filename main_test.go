package hyperactor_test

import (
	"os"
	"testing"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/examples/counter/counter"
)

func testConfig() hyperactor.Config {
	return hyperactor.Config{Types: []actor.AnyType{counter.Type}}
}

// TestMain lets the test binary be what tests and benchmarks start as a child:
// a proc, or a bare program to compare with.
func TestMain(m *testing.M) {
	if bare := os.Getenv("HYPER_TEST_BARE"); bare != "" {
		os.Exit(runBare(bare))
	}
	hyperactor.RunChild(testConfig())
	os.Exit(m.Run())
}
