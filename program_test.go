package hyperactor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/hosttest"
)

// programVariable names the program that a copy of the test binary is, and
// lifelineVariable the file that its children hold open.
const (
	programVariable  = "HYPER_TEST_PROGRAM"
	lifelineVariable = "HYPER_TEST_LIFELINE"
)

// runProgram is the main function of a program that uses Main.
func runProgram(name string) {
	cfg := hyperactor.Config{Types: append(hosttest.Types(), holderType)}
	if name == "deaf children" {
		cfg.Grace = 300 * time.Millisecond
	}
	hyperactor.Main(cfg, func(ctx context.Context, rt *hyperactor.Runtime) error { return run(ctx, rt, name) })
}

// exitError is an error with an exit code of its own.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("code %d", int(e)) }
func (e exitError) ExitCode() int { return int(e) }

func run(ctx context.Context, rt *hyperactor.Runtime, name string) error {
	switch name {
	case "returns":
		return nil
	case "fails":
		return errors.New("something went wrong")
	case "fails by a ctx of its own":
		inner, cancel := context.WithCancel(ctx)
		cancel()
		return fmt.Errorf("the job failed: %w", inner.Err())
	case "fails with a code":
		return fmt.Errorf("today: %w", exitError(7))
	case "cannot spawn":
		_, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "a", Program: "/no/such/program"})
		return err
	case "returns with children":
		return start(ctx, rt, false)
	case "waits":
		if err := start(ctx, rt, false); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	case "deaf children":
		if err := start(ctx, rt, true); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	case "stuck":
		if err := start(ctx, rt, false); err != nil {
			return err
		}
		<-ctx.Done()
		hold("interrupted")
		return nil
	case "panics":
		if err := start(ctx, rt, false); err != nil {
			return err
		}
		panic("in run")
	case "actor fails":
		p, err := hosttest.Type.Spawn(ctx, rt.Proc().ID(), "p", actor.None{})
		if err != nil {
			return err
		}
		if err := hosttest.Fail.Send(ctx, p, "out of string"); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	return errors.New("no such program")
}

// start spawns two children that hold the lifeline, and says so.
func start(ctx context.Context, rt *hyperactor.Runtime, deaf bool) error {
	for i := range 2 {
		h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: fmt.Sprintf("worker-%d", i)})
		if err != nil {
			return err
		}
		ref, err := holderType.Spawn(ctx, h.ID(), "holder", actor.None{})
		if err != nil {
			return err
		}
		if _, err := hang.Call(ctx, ref, hangOn{Path: os.Getenv(lifelineVariable), Deaf: deaf}); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	return nil
}

// hold prints line, if there is one, and waits for SIGUSR2.
func hold(line string) {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGUSR2)
	if line != "" {
		fmt.Println(line)
	}
	<-sigs
}

// holder is an actor that keeps a file open for as long as its process lives.
type holder struct{ file *os.File }

// hangOn says which file, and whether the actor never returns afterwards.
type hangOn struct {
	Path string
	Deaf bool
}

var (
	hang       = actor.OnDefer("holder.hang", (*holder).Hang)
	holderType = actor.Define("holder", func(context.Context, actor.None) (*holder, error) { return &holder{}, nil }, hang)
)

func (h *holder) Hang(_ context.Context, on hangOn, reply actor.Reply[actor.None]) (err error) {
	if h.file, err = os.OpenFile(on.Path, os.O_WRONLY, 0); err != nil {
		return err
	}
	if err := reply.Send(actor.None{}); err != nil {
		return err
	}
	if on.Deaf {
		hold("")
	}
	return nil
}

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// program is a running copy of the test binary.
type program struct {
	t        *testing.T
	cmd      *exec.Cmd
	out      *bufio.Scanner
	stderr   strings.Builder
	lifeline *os.File // ends when no child is left
}

// launch starts the program called name.
func launch(t *testing.T, name string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	tmp, err := os.MkdirTemp("", "program-") // t.TempDir is too long a name for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) }) // a program that is killed leaves its sockets
	path := filepath.Join(tmp, "lifeline")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: exec.CommandContext(ctx, os.Args[0])}
	if p.lifeline, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.lifeline.Close() })
	p.cmd.Env = append(os.Environ(), programVariable+"="+name, lifelineVariable+"="+path, "TMPDIR="+tmp, "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// says waits until the program prints line.
func (p *program) says(line string) {
	p.t.Helper()
	if !p.out.Scan() || p.out.Text() != line {
		p.cmd.Wait()
		p.t.Fatalf("the program says %q (%v), want %q; stderr:\n%s", p.out.Text(), p.out.Err(), line, p.stderr.String())
	}
}

// signal sends a signal to the program alone.
func (p *program) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for the end of the program.
func (p *program) wait() syscall.WaitStatus {
	p.t.Helper()
	for p.out.Scan() {
		p.t.Logf("the program says %q", p.out.Text())
	}
	p.cmd.Wait()
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// exits checks the exit code and what is on stderr, one part of it or nothing.
func (p *program) exits(code int, stderr string) {
	p.t.Helper()
	if s := p.wait(); !s.Exited() || s.ExitStatus() != code {
		p.t.Errorf("ended with code %d, signal %v, want code %d; stderr:\n%s", s.ExitStatus(), s.Signal(), code, p.stderr.String())
	}
	if got := p.stderr.String(); !strings.Contains(got, stderr) || (stderr == "") != (got == "") {
		p.t.Errorf("stderr is %q, want %q", got, stderr)
	}
}

// childless checks that no child is left now: a read from the lifeline is then
// its end, and not something to wait for.
func (p *program) childless() {
	p.t.Helper()
	conn, err := p.lifeline.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := conn.Control(func(fd uintptr) {
		if n, err := syscall.Read(int(fd), make([]byte, 1)); n != 0 || err != nil {
			p.t.Errorf("a child lives: %v", err)
		}
	}); err != nil {
		p.t.Error(err)
	}
}

// childlessWithin checks that no child is left after at most bound.
func (p *program) childlessWithin(bound time.Duration) {
	p.t.Helper()
	if err := p.lifeline.SetReadDeadline(time.Now().Add(bound)); err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, p.lifeline); err != nil {
		p.t.Errorf("a child lives: %v", err)
	}
}
