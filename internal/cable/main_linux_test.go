package cable

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

var (
	seed = flag.Uint64("seed", 1, "decides what bad cables do")
	full = flag.Bool("full", false, "faults last as long as in the list of faults, not as long as patience")
)

// hostVariable tells a copy of this binary that it is a host, and which.
const hostVariable = "CABLE_HOST"

// probed is Probe, once.
var probed = sync.OnceValue(Probe)

func TestMain(m *testing.M) {
	if config := os.Getenv(hostVariable); config != "" {
		if err := beHost(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	beParallel()
	probed() // starts what the runtime keeps, its poller for example
	before := takeStock()
	code := m.Run()
	if err := before.check(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// beParallel lets more tests run at once than there are processors, unless the
// command line says how many: they wait for what takes time, and compute little.
func beParallel() {
	const parallel = "test.parallel"
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == parallel })
	if !chosen {
		flag.Set(parallel, "16")
	}
}

// Stock is what this process holds of what can be left behind.
type Stock struct{ Goroutines, Descriptors int }

func takeStock() Stock {
	files, _ := filepath.Glob("/proc/self/fd/*")
	return Stock{Goroutines: runtime.NumGoroutine(), Descriptors: len(files)}
}

// exceeds reports whether s holds more than before.
func (s Stock) exceeds(before Stock) bool {
	return s.Goroutines > before.Goroutines || s.Descriptors > before.Descriptors
}

// check says what this process holds beyond what it held before, after what is
// being put away had the time for it.
func (s Stock) check() error {
	now := takeStock()
	for end := time.Now().Add(time.Second); now.exceeds(s) && time.Now().Before(end); now = takeStock() {
		runtime.Gosched()
	}
	var errs []error
	if now.exceeds(s) {
		buf := make([]byte, 1<<20)
		errs = append(errs, fmt.Errorf("holds %+v, before %+v\n%s", now, s, buf[:runtime.Stack(buf, true)]))
	}
	return errors.Join(append(errs, strayThreads(), children())...)
}

// strayThreads says which threads are not in the network namespace of the process.
func strayThreads() error {
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	links, _ := filepath.Glob("/proc/self/task/*/ns/net")
	for _, l := range links {
		if at, err := os.Readlink(l); err == nil && at != home {
			return fmt.Errorf("thread %s is left in %s", l, at)
		}
	}
	return nil
}

// children says which processes of ours are left.
func children() error {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, l := range lists {
		if b, err := os.ReadFile(l); err == nil && len(b) > 0 {
			return fmt.Errorf("processes are left: %s", b)
		}
	}
	return nil
}
