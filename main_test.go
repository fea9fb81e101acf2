package hyperactor_test

import (
	"os"
	"testing"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/examples/counter/counter"
	"github.com/hyperactor/hyperactor/host/hosttest"
)

func testConfig() hyperactor.Config {
	return hyperactor.Config{Types: append(hosttest.Types(), counter.Type, labType)}
}

// TestMain lets the test binary be what tests and benchmarks start as a child:
// a proc, a bare program to compare with, or a program that uses Main.
func TestMain(m *testing.M) {
	if bare := os.Getenv("HYPER_TEST_BARE"); bare != "" {
		os.Exit(runBare(bare))
	}
	if name := os.Getenv(programVariable); name != "" {
		runProgram(name)
	}
	hyperactor.RunChild(testConfig())
	os.Exit(m.Run())
}
