package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// server is what an agent is made of: it does what it is told over descriptor 3
// and answers over descriptor 4.
type server struct {
	launcher launch.Launcher
	rt       *hyperactor.Runtime // nil in an agent that only launches
	orders   *os.File
	replies  *os.File
	running  sync.WaitGroup

	mu        sync.Mutex // guards the following, and writes to replies
	processes map[string]launch.Process
	handles   map[string]host.ProcHandle
	victims   map[string]actor.Ref[victim]
}

// beAgent is the main function of an agent. It does not return.
func beAgent(what, kindName string) {
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	must(unix.SetNonblock(3, true)) // so that a read can be given up
	k, ok := kindNamed(kindName)
	if !ok {
		fail(fmt.Errorf("no launcher is called %q", kindName))
	}
	if os.Getenv("TORTURE_PROC") != "" {
		mountProc()
	}
	s := &server{
		orders: os.NewFile(3, "orders"), replies: os.NewFile(4, "replies"),
		processes: map[string]launch.Process{}, handles: map[string]host.ProcHandle{}, victims: map[string]actor.Ref[victim]{},
	}
	if what == "host" {
		cfg := procConfig()
		cfg.Grace = time.Second
		k.set(&cfg)
		hyperactor.Main(cfg, func(ctx context.Context, rt *hyperactor.Runtime) error {
			s.rt = rt
			over := context.AfterFunc(ctx, func() { s.orders.SetReadDeadline(time.Now()) })
			defer over()
			s.serve(rt.Context(ctx))
			return nil
		})
	}
	l := k.open()
	s.launcher = l
	s.serve(context.Background())
	if err := l.Close(); err != nil {
		fail(err)
	}
	os.Exit(0)
}

// mountProc shows a process that is first in its namespace its own /proc.
func mountProc() {
	if err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
	); err != nil {
		fail(fmt.Errorf("mount /proc: %w", err))
	}
}

// serve does what it is told, each order in a goroutine of its own, until no
// more orders can come.
func (s *server) serve(ctx context.Context) {
	lines := bufio.NewScanner(s.orders)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			fail(err)
		}
		s.running.Go(func() {
			r, err := s.do(ctx, o.Words[0], o.Words[1:])
			r.ID = o.ID
			s.reply(r, err)
		})
	}
}

func (s *server) reply(r reply, err error) {
	if err != nil {
		r.Err = err.Error()
		if e, ok := errors.AsType[*launch.StartError](err); ok {
			r.Reason = e.Reason
		}
		r.Errno, _ = errors.AsType[syscall.Errno](err)
	}
	line, err := json.Marshal(r)
	if err != nil {
		fail(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.replies.Write(append(line, '\n'))
}

func (s *server) do(ctx context.Context, verb string, args []string) (reply, error) {
	switch verb {
	case "hello":
		return reply{PID: os.Getpid()}, nil
	case "launch": // name, sh or self, script or words
		return s.launch(ctx, args)
	case "stop", "end", "kill-process": // name
		return s.process(verb, args[0])
	case "spawn": // name, what it is told before it is a proc, how long it may take
		return s.spawn(ctx, args)
	case "terminate": // name, grace
		grace, err := time.ParseDuration(args[1])
		if err != nil {
			return reply{}, err
		}
		return s.handle(args[0], func(h host.ProcHandle) (launch.Exit, error) { return h.Terminate(ctx, grace, "told") })
	case "kill": // name
		return s.handle(args[0], func(h host.ProcHandle) (launch.Exit, error) { return h.Kill(ctx, "told") })
	case "wait": // name
		return s.handle(args[0], func(h host.ProcHandle) (launch.Exit, error) { return h.Wait(ctx) })
	case "status": // name
		s.mu.Lock()
		h := s.handles[args[0]]
		s.mu.Unlock()
		return reply{Text: h.Status().String(), PID: h.Status().PID}, nil
	case "victim": // name, words
		s.mu.Lock()
		v := s.victims[args[0]]
		s.mu.Unlock()
		text, err := do.Call(ctx, v, args[1:])
		return reply{Text: text}, err
	default:
		return trouble(s, verb, args)
	}
}

// launch starts a process and, if it is one that says when it is ready, waits
// for that.
func (s *server) launch(ctx context.Context, args []string) (reply, error) {
	spec := sh(args[len(args)-1])
	if args[1] == "self" {
		spec = self(args[2])
	}
	up := make(chan struct{})
	var once sync.Once
	spec.Output = func(_ launch.Stream, line []byte) {
		if string(line) == "ready" {
			once.Do(func() { close(up) })
		}
	}
	p, err := s.launcher.Launch(ctx, spec)
	if err != nil {
		return reply{}, err
	}
	s.mu.Lock()
	s.processes[args[0]] = p
	s.mu.Unlock()
	if !strings.Contains(args[2], "echo ready") && args[1] == "sh" {
		return reply{PID: p.PID()}, nil
	}
	ended := make(chan struct{})
	s.running.Go(func() {
		p.Wait()
		close(ended)
	})
	select {
	case <-up:
	case <-ended:
	}
	return reply{PID: p.PID()}, nil
}

func (s *server) process(verb, name string) (reply, error) {
	s.mu.Lock()
	p := s.processes[name]
	s.mu.Unlock()
	if p == nil {
		return reply{}, fmt.Errorf("no process %q", name)
	}
	switch verb {
	case "stop":
		return reply{}, p.Stop()
	case "kill-process":
		return reply{}, p.Kill()
	}
	return reply{Exit: p.Wait()}, nil
}

func (s *server) spawn(ctx context.Context, args []string) (reply, error) {
	spec := host.ProcSpec{Name: args[0]}
	if len(args) > 1 && args[1] != "" {
		spec.Env = []string{beforeVariable + "=" + args[1]}
	}
	if len(args) > 2 {
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return reply{}, err
		}
		spec.ReadyTimeout = d
	}
	began := time.Now()
	h, err := s.rt.Host().Spawn(ctx, spec)
	if err != nil {
		return reply{Took: time.Since(began)}, err
	}
	v, err := victimType.Spawn(ctx, h.ID(), "victim", actor.None{})
	if err != nil {
		return reply{}, err
	}
	s.mu.Lock()
	s.handles[args[0]], s.victims[args[0]] = h, v
	s.mu.Unlock()
	return reply{PID: h.Status().PID, Took: time.Since(began)}, nil
}

func (s *server) handle(name string, call func(h host.ProcHandle) (launch.Exit, error)) (reply, error) {
	s.mu.Lock()
	h := s.handles[name]
	s.mu.Unlock()
	if h == nil {
		return reply{}, fmt.Errorf("no proc %q", name)
	}
	began := time.Now()
	e, err := call(h)
	return reply{Exit: e, Took: time.Since(began)}, err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(98)
}
