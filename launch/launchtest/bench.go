package launchtest

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/internal/versus"
	"github.com/hyperactor/hyperactor/launch"
)

// BenchKillToWait compares Kill and Wait of a process with a bare SIGKILL and
// wait of the same program.
func BenchKillToWait(b *testing.B, l launch.Launcher) {
	r := newRace(b, l)
	for b.Loop() {
		r.Add(
			func() time.Duration { return versus.Time(r.startOurs()) },
			func() time.Duration { return versus.Time(r.startBare()) })
	}
	r.Report(b)
}

// BenchStart compares Launch with a bare start of the same program.
func BenchStart(b *testing.B, l launch.Launcher) {
	r := newRace(b, l)
	for b.Loop() {
		r.Add(
			func() time.Duration {
				begin := time.Now()
				p := r.launch(launch.Spec{Path: sleeper()[0], Args: sleeper()[1:]})
				took := time.Since(begin)
				_ = p.Kill()
				p.Wait()
				return took
			},
			func() time.Duration {
				begin := time.Now()
				p := r.fork(sleeper(), r.null)
				took := time.Since(begin)
				_ = p.Kill()
				_, _ = p.Wait()
				return took
			})
	}
	r.Report(b)
}

// sleeper is what BenchStart starts.
func sleeper() []string { return []string{"/bin/sleep", "1000"} }

// talker says when it has settled, and runs until it is killed.
func talker() []string { return []string{"/bin/sh", "-c", "echo ready; read x <&3"} }

// race compares a launcher with the bare system.
type race struct {
	versus.Pair
	b        *testing.B
	launcher launch.Launcher
	null     *os.File
	block    *os.File // a blocking pipe that nobody writes to
}

func newRace(b *testing.B, l launch.Launcher) *race {
	null, err := os.Open(os.DevNull)
	if err != nil {
		b.Fatal(err)
	}
	block, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	block.Fd() // makes it blocking, as a shell needs it
	b.Cleanup(func() {
		l.Close()
		null.Close()
		block.Close()
		w.Close()
	})
	return &race{b: b, launcher: l, null: null, block: block}
}

// startOurs starts a process that has settled, and returns how to end it.
func (r *race) startOurs() (kill func()) {
	ready := make(chan struct{}, 1)
	p := r.launch(launch.Spec{
		Path: talker()[0], Args: talker()[1:], Control: r.block,
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
		r.b.Fatal(err)
	}
	p := r.fork(talker(), w)
	w.Close()
	if _, err := out.Read(make([]byte, 10)); err != nil {
		r.b.Fatal(err)
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
		r.b.Fatal(err)
	}
	return p
}

func (r *race) fork(argv []string, stdout *os.File) *os.Process {
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{r.null, stdout, r.null, r.block}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		r.b.Fatal(err)
	}
	return p
}
