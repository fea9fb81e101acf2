package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// machine is what there is to say about where a run took place. It names
// nobody and nothing.
type machine struct {
	CPU     string   `json:"cpu"`
	CPUs    int      `json:"cpus"`
	System  string   `json:"system"`
	Go      string   `json:"go"`
	Load    string   `json:"load"`    // processes that wanted a CPU in the last minute: more than a few, and the figures are of them
	Modules []string `json:"modules"` // whose speed is measured, beside ours
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, CPUs: runtime.NumCPU(), System: runtime.GOOS, Go: runtime.Version()}
	if model := valueIn("/proc/cpuinfo", "model name"); model != "" {
		m.CPU = model
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		release, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-") // what follows is the builder's
		m.System += " " + release
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(b), " ")
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			measured := []string{"google.golang.org/grpc", "github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go"}
			if slices.Contains(measured, dep.Path) {
				m.Modules = append(m.Modules, dep.Path+" "+dep.Version)
			}
		}
	}
	return m
}

func (m machine) String() string {
	text := fmt.Sprintf("%d CPUs (%s), %s, %s", m.CPUs, m.CPU, m.System, m.Go)
	if m.Load != "" {
		text += ", load before " + m.Load
	}
	return text + "; " + strings.Join(m.Modules, ", ")
}

// valueIn returns the first value of a key in a file of "key : value" lines.
func valueIn(path, key string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
