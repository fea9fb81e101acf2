package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// agent is a program of its own that launches processes or hosts procs as it
// is told, so that all that can happen to a program can happen to it.
type agent struct {
	*fixture
	cmd    *exec.Cmd
	pidfd  int
	orders *os.File
	stderr bytes.Buffer
	reader sync.WaitGroup
	ended  sync.Once

	mu      sync.Mutex // guards the following
	last    int
	waiting map[int]chan reply
	over    bool // no more replies will come
}

// order is what an agent is told.
type order struct {
	ID    int
	Words []string
}

// reply is what it answers.
type reply struct {
	ID     int
	Err    string
	Reason launch.Reason // of a launch.StartError
	Errno  syscall.Errno
	PID    int
	Exit   launch.Exit
	Took   time.Duration
	Text   string
}

// errGone is the answer of an agent that has ended.
const errGone = "the agent has ended"

// agentOption changes how an agent is started.
type agentOption func(cmd *exec.Cmd)

// through has a shell do something before it becomes the agent.
func through(script string) agentOption {
	return func(cmd *exec.Cmd) {
		cmd.Args = []string{"sh", "-c", script + "\n" + `exec "$0"`, cmd.Path}
		cmd.Path = "/bin/sh"
	}
}

// spaces has the agent be the first of new namespaces.
func spaces(flags uintptr) agentOption {
	return func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		if flags&unix.CLONE_NEWPID != 0 {
			cmd.Env = append(cmd.Env, "TORTURE_PROC=own")
		}
	}
}

func image(path string) agentOption { return func(cmd *exec.Cmd) { cmd.Path = path } }

func variables(kv ...string) agentOption {
	return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, kv...) }
}

// launching starts an agent that has a launcher; hosting one that has a host.
func (f *fixture) launching(how ...agentOption) *agent { return f.agent("launch", how) }

func (f *fixture) hosting(how ...agentOption) *agent { return f.agent("host", how) }

func (f *fixture) agent(what string, how []agentOption) *agent {
	f.Helper()
	path, err := os.Executable()
	f.must(err)
	a := &agent{fixture: f, waiting: map[int]chan reply{}, cmd: exec.Command(path)}
	orders, w, err := os.Pipe()
	f.must(err)
	r, replies, err := os.Pipe()
	f.must(err)
	a.orders = w
	a.cmd.ExtraFiles = []*os.File{orders, replies}
	a.cmd.Stderr = &a.stderr
	a.cmd.Env = append(os.Environ(), agentVariable+"="+what+" "+f.kind.name, "TMPDIR="+f.dir, "XDG_RUNTIME_DIR="+f.dir, fastRace)
	for _, option := range how {
		option(a.cmd)
	}
	if a.cmd.SysProcAttr == nil {
		a.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	a.cmd.SysProcAttr.PidFD = &a.pidfd
	a.cmd.WaitDelay = patience
	f.must(start(a.cmd))
	orders.Close()
	replies.Close()
	a.reader.Go(func() { a.read(r) })
	f.Cleanup(func() { a.end(patience) })
	if hello := a.tell("hello"); hello.Err != "" {
		a.end(0)
		f.Fatalf("the agent does not begin: %s\n%s", hello.Err, a.words())
	}
	return a
}

// start starts a program, and has one that is traced go on.
func start(cmd *exec.Cmd) error {
	runtime.LockOSThread() // the one that may trace it
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil || !cmd.SysProcAttr.Ptrace {
		return err
	}
	return blind(cmd.Process.Pid)
}

// end has the agent end, which it does when no more orders can come; after
// bound by force.
func (a *agent) end(bound time.Duration) {
	a.ended.Do(func() {
		a.orders.Close()
		if !awaitEnd(a.pidfd, time.Now().Add(bound)) {
			if bound > 0 {
				a.Errorf("the agent does not end")
			}
			a.signal(syscall.SIGKILL)
		}
		a.reader.Wait()
		a.cmd.Wait()
		unix.Close(a.pidfd)
	})
}

// words returns the first of what the agent has said on stderr. It has ended.
func (a *agent) words() string {
	all := a.stderr.String()
	return all[:min(len(all), 2000)]
}

// dies waits until the agent has ended, whatever has done it, and returns how.
func (a *agent) dies() syscall.WaitStatus {
	a.Helper()
	if !awaitEnd(a.pidfd, time.Now().Add(patience)) {
		a.Errorf("the agent lives on")
	}
	a.end(0)
	return a.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

func (a *agent) signal(sig syscall.Signal) {
	a.Helper()
	if err := unix.PidfdSendSignal(a.pidfd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		a.Errorf("send %v to the agent: %v", sig, err)
	}
}

// kill ends the agent, and nothing else, at once.
func (a *agent) kill() {
	a.Helper()
	a.signal(syscall.SIGKILL)
	a.dies()
}

// read takes the replies until the last of those who could answer is gone.
func (a *agent) read(r *os.File) {
	defer r.Close()
	d := json.NewDecoder(r)
	for {
		var got reply
		err := d.Decode(&got)
		a.mu.Lock()
		if err != nil {
			a.over = true
			for id, c := range a.waiting {
				c <- reply{ID: id, Err: errGone}
				delete(a.waiting, id)
			}
			a.mu.Unlock()
			_, _ = io.Copy(io.Discard, r)
			return
		}
		c := a.waiting[got.ID]
		delete(a.waiting, got.ID)
		a.mu.Unlock()
		if c != nil {
			c <- got
		}
	}
}

// ask gives an order and returns where the reply will be.
func (a *agent) ask(words ...string) <-chan reply {
	c := make(chan reply, 1)
	a.mu.Lock()
	a.last++
	id := a.last
	if a.over {
		a.mu.Unlock()
		c <- reply{Err: errGone}
		return c
	}
	a.waiting[id] = c
	a.mu.Unlock()
	line, err := json.Marshal(order{ID: id, Words: words})
	if err != nil {
		panic(err)
	}
	_, _ = a.orders.Write(append(line, '\n')) // if it is gone, the reader says so
	return c
}

// tell gives an order and waits for the reply.
func (a *agent) tell(words ...string) reply {
	a.Helper()
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > 5*time.Second {
			a.Logf("%q took %v", words, took)
		}
	}()
	return a.answer(a.ask(words...))
}

func (a *agent) answer(c <-chan reply) reply {
	a.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(patience):
		a.Errorf("the agent does not answer")
		return reply{Err: "no answer"}
	}
}

// does gives an order that must succeed.
func (a *agent) does(words ...string) reply {
	a.Helper()
	r := a.tell(words...)
	if r.Err != "" {
		if r.Err == errGone {
			a.end(0)
			r.Err += fmt.Sprintf(" (%v): %s", a.cmd.ProcessState, a.words())
		}
		a.Fatalf("%.200q: %s", words, r.Err)
	}
	return r
}

// below returns what descends from the agent and lives.
func (a *agent) below() []process { return living(descendants(a.cmd.Process.Pid)) }

// gone checks that within bound all of the given processes have ended. They are
// opened by open, while it is certain who they are.
func (f *fixture) gone(all watched, bound time.Duration) {
	f.Helper()
	defer all.close()
	deadline := time.Now().Add(bound)
	for i, fd := range all.fds {
		if !awaitEnd(fd, deadline) {
			f.Errorf("after %v there still is %v", bound, all.who[i])
		}
	}
}

// watched is a set of processes that were found alive.
type watched struct {
	who []process
	fds []int
}

func (w watched) close() {
	for _, fd := range w.fds {
		unix.Close(fd)
	}
}

// signal signals each of them.
func (w watched) signal(sig syscall.Signal) (err error) {
	for _, fd := range w.fds {
		if e := unix.PidfdSendSignal(fd, sig, nil, 0); !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// watch opens processes, to see their ends.
func watch(all []process) (w watched) {
	for _, p := range all {
		fd, err := unix.PidfdOpen(p.pid, 0)
		if err != nil {
			continue // gone
		}
		if now, ok := readProcess(p.pid); !ok || now.born != p.born {
			unix.Close(fd)
			continue
		}
		w.who, w.fds = append(w.who, p), append(w.fds, fd)
	}
	return w
}

// mustWatch watches the process pid, which lives and descends from us: a
// number alone could be anybody's.
func (f *fixture) mustWatch(pid int) watched {
	f.Helper()
	all := living(descendants(os.Getpid()))
	i := slices.IndexFunc(all, func(p process) bool { return p.pid == pid })
	if i < 0 {
		f.Fatalf("no process of ours is %d", pid)
	}
	w := watch(all[i : i+1])
	if len(w.fds) != 1 {
		f.Fatalf("process %d has ended", pid)
	}
	f.Cleanup(w.close)
	return w
}

// without returns all but the processes with these numbers.
func without(all []process, pids ...int) []process {
	return slices.DeleteFunc(slices.Clone(all), func(p process) bool { return slices.Contains(pids, p.pid) })
}
