package main

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	runFar() // the far sides of the tests are this very binary
	if _, ok := os.LookupEnv("GORACE"); !ok {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // each of a hundred far sides would take a second to end
	}
	os.Exit(m.Run())
}
