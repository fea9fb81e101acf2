package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// pin keeps this process, and those that it starts, on one CPU until the
// returned function is called: a round trip between two CPUs measures mostly
// how long the other one takes to wake up.
func pin() (undo func() error, err error) {
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if old.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	procs := runtime.GOMAXPROCS(1)
	if err := setAffinity(&one); err != nil {
		return nil, err
	}
	return func() error {
		runtime.GOMAXPROCS(procs)
		return setAffinity(&old)
	}, nil
}

// setAffinity sets the CPUs of all threads of this process, and so of those
// that they make.
func setAffinity(set *unix.CPUSet) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err == nil {
			err = unix.SchedSetaffinity(tid, set)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("pin thread %s: %w", t.Name(), err)
		}
	}
	return nil
}
