package native

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

// BenchmarkRealKillToWait compares Kill and Wait of a process with a bare
// SIGKILL and wait of the same program.
func BenchmarkRealKillToWait(b *testing.B) {
	r := newRace(b)
	for i := 0; b.Loop(); i++ {
		for _, ours := range r.turns(i) {
			start := r.startBare
			if ours {
				start = r.startOurs
			}
			kill := start()
			begin := time.Now()
			kill()
			r.took(ours, time.Since(begin))
		}
	}
	r.report()
}

// BenchmarkRealStart compares Launch with a bare start of the same program.
func BenchmarkRealStart(b *testing.B) {
	r := newRace(b)
	for i := 0; b.Loop(); i++ {
		for _, ours := range r.turns(i) {
			begin := time.Now()
			if ours {
				p := r.launch(launch.Spec{Path: sleeper[0], Args: sleeper[1:]})
				r.took(ours, time.Since(begin))
				_ = p.Kill()
				p.Wait()
			} else {
				p := r.fork(sleeper, r.null)
				r.took(ours, time.Since(begin))
				_ = p.Kill()
				_, _ = p.Wait()
			}
		}
	}
	r.report()
}

var (
	sleeper = []string{"/bin/sleep", "1000"}
	talker  = []string{"/bin/sh", "-c", "echo ready; read x <&3"} // until killed
)

// race compares our way to do something with the bare one, in turns, so that a
// noisy machine is fair to both.
type race struct {
	*testing.B
	launcher *Launcher
	null     *os.File
	block    *os.File // a blocking pipe that nobody writes to
	sum      [2]time.Duration
}

func newRace(b *testing.B) *race {
	r := &race{B: b, launcher: New(Config{})}
	null, err := os.Open(os.DevNull)
	if err != nil {
		b.Fatal(err)
	}
	block, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	block.Fd() // makes it blocking, as a shell needs it
	r.null, r.block = null, block
	b.Cleanup(func() {
		r.launcher.Close()
		null.Close()
		block.Close()
		w.Close()
	})
	return r
}

// turns says who goes first: true is us.
func (r *race) turns(i int) [2]bool { return [2]bool{i%2 == 0, i%2 != 0} }

func (r *race) took(ours bool, d time.Duration) {
	if ours {
		r.sum[0] += d
	} else {
		r.sum[1] += d
	}
}

func (r *race) report() {
	r.ReportMetric(0, "ns/op") // of both together, which says nothing
	r.ReportMetric(float64(r.sum[0].Nanoseconds())/float64(r.N), "ours-ns")
	r.ReportMetric(float64(r.sum[1].Nanoseconds())/float64(r.N), "bare-ns")
	r.ReportMetric(float64(r.sum[0])/float64(r.sum[1]), "ratio")
}

// startOurs starts a process that has settled, and returns how to end it.
func (r *race) startOurs() (kill func()) {
	ready := make(chan struct{}, 1)
	p := r.launch(launch.Spec{
		Path: talker[0], Args: talker[1:], Control: r.block,
		Output: func(launch.Stream, []byte) { ready <- struct{}{} },
	})
	<-ready
	return func() {
		_ = p.Kill()
		p.Wait()
	}
}

func (r *race) startBare() (kill func()) {
	out, w, err := os.Pipe()
	if err != nil {
		r.Fatal(err)
	}
	p := r.fork(talker, w)
	w.Close()
	if _, err := out.Read(make([]byte, 10)); err != nil {
		r.Fatal(err)
	}
	out.Close()
	return func() {
		_ = p.Kill()
		_, _ = p.Wait()
	}
}

func (r *race) launch(s launch.Spec) launch.Process {
	p, err := r.launcher.Launch(context.Background(), s)
	if err != nil {
		r.Fatal(err)
	}
	return p
}

func (r *race) fork(argv []string, stdout *os.File) *os.Process {
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{r.null, stdout, r.null, r.block}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		r.Fatal(err)
	}
	return p
}
