package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process has used so far, or holds now.
type usage struct {
	Mallocs    uint64        `json:"mallocs"` // objects allocated, ever
	Live       uint64        `json:"live"`    // bytes of heap and stacks in use
	RSS        uint64        `json:"rss"`     // 0 where the system does not say
	CPU        time.Duration `json:"cpu"`     // user and system, ever
	Goroutines int           `json:"goroutines"`
}

// usageNow returns the usage of this process. Settled means that garbage is
// collected and returned to the system first.
func usageNow(settled bool) usage {
	if settled {
		runtime.GC() // what is pooled goes with the second collection
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{
		Mallocs: m.Mallocs, Live: m.HeapAlloc + m.StackInuse, RSS: residentBytes(),
		CPU: cpuTime(), Goroutines: runtime.NumGoroutine(),
	}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func residentBytes() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// perMessage adds to s what n messages cost between two looks at each side.
func perMessage(s sample, n int64, near, nearAfter, far, farAfter usage) {
	s[nearAllocs] = float64(nearAfter.Mallocs-near.Mallocs) / float64(n)
	s[farAllocs] = float64(farAfter.Mallocs-far.Mallocs) / float64(n)
	s[nearCPU] = float64(nearAfter.CPU-near.CPU) / float64(n)
	s[farCPU] = float64(farAfter.CPU-far.CPU) / float64(n)
}
