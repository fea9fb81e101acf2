package hosttest

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// lives spawns n procs, four at a time, calls an actor in each and stops it.
func (f *fixture) lives(n int) {
	f.Helper()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := i; k < n; k += 4 {
				f.life("life-"+strconv.Itoa(k), k%2 == 0)
			}
		})
	}
	wg.Wait()
}

func (f *fixture) life(name string, gently bool) {
	ctx := f.ctx()
	h, err := f.host.Spawn(ctx, host.ProcSpec{Name: name})
	if err != nil {
		f.Errorf("Spawn: %v", err)
		return
	}
	p, err := Type.Spawn(ctx, h.ID(), "p", actor.None{})
	if err == nil {
		_, err = Echo.Call(ctx, p, 1)
	}
	if err != nil {
		f.Errorf("call: %v", err)
	}
	if gently {
		_, err = h.Terminate(ctx, patience, "end of a life")
	} else {
		_, err = h.Kill(ctx, "end of a life")
	}
	if err != nil {
		f.Errorf("stop: %v", err)
	}
}

// stock is what a program holds.
type stock struct {
	goroutines, descriptors int
}

func takeStock(f *fixture) stock {
	return stock{runtime.NumGoroutine(), descriptors(f)}
}

// compare checks that there is no more than in s, and no child process of a proc. What
// was waited for is counted until the scheduler has put it away: for that much
// the check yields.
func (s stock) compare(f *fixture) {
	f.Helper()
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		now := takeStock(f)
		if now.goroutines <= s.goroutines && now.descriptors <= s.descriptors {
			break
		}
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			f.Errorf("holds %+v, before %+v\n%s", now, s, buf[:runtime.Stack(buf, true)])
			break
		}
	}
	if children, err := launch.Children(); err == nil && len(children) > f.Helpers {
		f.Errorf("child processes are left: %v", children)
	}
	if left := f.parts.Manager.Procs(); len(left) > 0 {
		f.Errorf("procs are left: %v", left)
	}
}

// descriptors counts those of this process; 0 where that cannot be known.
func descriptors(f *fixture) int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS == "linux" {
		f.Fatal(err)
	}
	return len(fds)
}
