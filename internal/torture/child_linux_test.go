package torture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/internal/handshake"
)

// beChild plays a child of a launcher and returns its exit code.
func beChild(behaviour string, args []string) int {
	switch behaviour {
	case "hold": // until a signal ends it
		fmt.Println("ready")
		hold()
	case "loner": // the same, deaf to what kills children of the dead
		must(unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0))
		fmt.Println("ready")
		hold()
	case "adopter": // of orphans, of which it makes some
		must(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		must(exec.Command("/bin/sh", "-c", "setsid sleep 60 & sleep 60 & exit 0").Run())
		fmt.Println("ready")
		hold()
	case "headless": // ends its first thread and lives until its lifeline ends
		return headless(number(args[0]))
	case "stream": // numbered words at full speed, counted in a file
		stream(args[0])
	case "zeroes": // a line of so many NUL bytes
		_, err := io.CopyN(os.Stdout, zeroes{}, int64(number(args[0])))
		must(err)
		fmt.Println()
	case "tracer": // of a process, until that ends
		return trace(number(args[0]))
	case "stuck": // starts a child that never gets to its exec
		return stuck(args[0])
	case "unmask": // becomes an agent that has blocked a signal
		return blocked(number(args[0]))
	case "big": // holds memory, and dies with a core
		big(number(args[0]))
	case "eat":
		eat(number(args[0]))
	default:
		fmt.Fprintf(os.Stderr, "no behaviour %q\n", behaviour)
		return 99
	}
	return 0
}

// hold blocks until somebody ends the process. A channel that nothing sends to
// would be a deadlock.
func hold() {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGUSR2)
	<-sigs
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

// headless ends its first thread, says so and lives on until its lifeline ends.
func headless(code int) int {
	gone := make(chan struct{})
	go func() {
		<-gone
		fmt.Println("ready")
		_, _ = syscall.Read(3, make([]byte, 1)) // a plain read: the netpoller may have lost its thread
		os.Exit(code)
	}()
	endFirstThread(gone)
	return 0
}

// endFirstThread takes threads until it has the first one, and ends that. The
// others stay locked, so that the scheduler has to hand out the first.
func endFirstThread(gone chan struct{}) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		go endFirstThread(gone)
		select {}
	}
	close(gone)
	_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
}

// stream writes numbers, eight bytes each, for ever. How many bytes were
// taken from it stands in a file that others can see.
func stream(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(err)
	count, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(err)
	block := make([]byte, 1<<16)
	var next, written uint64
	for {
		for i := 0; i < len(block); i += 8 {
			binary.LittleEndian.PutUint64(block[i:], next)
			next++
		}
		for rest := block; len(rest) > 0; {
			n, err := syscall.Write(1, rest)
			if err != nil {
				fail(err)
			}
			rest = rest[n:]
			written += uint64(n)
			binary.LittleEndian.PutUint64(count, written)
		}
	}
}

// zeroes reads as NUL bytes without an end.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// trace attaches to a process, says so, and stays until its end.
func trace(pid int) int {
	runtime.LockOSThread()
	must(unix.PtraceAttach(pid))
	var status unix.WaitStatus
	for first := true; ; first = false {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || status.Exited() || status.Signaled():
			return 0
		case first:
			fmt.Println("ready")
		}
	}
}

// stuck starts a child in a cgroup that is frozen: it does not get to its
// exec, and the thread that started it waits for that in the kernel.
func stuck(cgroup string) int {
	dir, err := os.Open(cgroup)
	must(err)
	born := make(chan struct{})
	go func() {
		close(born)
		cmd := exec.Command("/bin/sleep", "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		must(cmd.Run())
	}()
	<-born
	for { // nothing tells when it is there; the kernel's list is
		if b, err := os.ReadFile(cgroup + "/cgroup.procs"); err == nil && len(b) > 0 {
			break
		}
		runtime.Gosched()
	}
	fmt.Println("ready")
	hold()
	return 0
}

// blocked becomes an agent for which a signal is blocked.
func blocked(sig int) int {
	runtime.LockOSThread()
	set := unix.Sigset_t{}
	set.Val[(sig-1)/64] |= 1 << ((sig - 1) % 64)
	must(unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil))
	must(os.Unsetenv(childVariable))
	must(syscall.Exec("/proc/self/exe", []string{"agent"}, os.Environ()))
	return 99
}

// big fills so many MB and aborts.
func big(mb int) {
	block := bytes.Repeat([]byte{1}, mb<<20)
	must(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}))
	debug.SetTraceback("crash")
	defer runtime.KeepAlive(block)
	panic("enough")
}

// eat takes so many MB, byte by byte, and holds.
func eat(mb int) {
	b := make([]byte, mb<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	fmt.Println("ready")
	hold()
	runtime.KeepAlive(b)
}

// endBySignal ends this process by a signal, whatever the runtime makes of it.
func endBySignal(sig syscall.Signal) {
	signal.Reset()
	_ = unix.Kill(os.Getpid(), sig)
	hold()
}

func control() *os.File { return os.NewFile(3, "control") }

func readBoot() (b handshake.Boot) {
	must(handshake.Read(control(), &b))
	return b
}

func answer(b []byte) {
	_, err := control().Write(b)
	must(err)
}

func message(n *handshake.Note) []byte {
	var b bytes.Buffer
	must(handshake.Write(&b, n))
	return b.Bytes()
}

// misbehave does what a program could do before it becomes a proc. If it
// returns, the program goes on.
func misbehave(how string, args []string) {
	switch how {
	case "exit":
		os.Exit(number(args[0]))
	case "signal":
		must(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}))
		endBySignal(syscall.Signal(number(args[0])))
	case "mute": // never shakes hands
		hold()
	case "deaf": // the same, and cannot be asked to go
		signal.Ignore(syscall.SIGTERM)
		select {}
	case "garbage":
		answer([]byte{0, 0, 0, 3, 0xff, 0xff, 0xff})
		hold()
	case "oversize":
		answer([]byte{0xff, 0xff, 0xff, 0xff})
		hold()
	case "partial":
		answer([]byte{0, 0, 1, 0, 0xa3})
		os.Exit(number(args[0]))
	case "version": // that many newer than ours
		answer(message(&handshake.Note{Version: readBoot().Version + number(args[0])}))
		hold()
	case "nowhere": // says that it is ready, and goes
		b := readBoot()
		answer(message(&handshake.Note{Version: b.Version, Once: b.Once, Addr: b.Listen}))
		os.Exit(number(args[0]))
	case "stranger": // an answer to another handshake
		b := readBoot()
		answer(message(&handshake.Note{Version: b.Version, Once: []byte("another"), Addr: b.Listen}))
		hold()
	case "shut": // its control connection
		readBoot()
		must(control().Close())
		hold()
	case "tree": // leaves something behind, and never shakes hands
		must(exec.Command("/bin/sh", "-c", "sleep 60 & exit 0").Run())
		hold()
	}
}

// victim is an actor that has its process suffer.
type victim struct{}

var (
	do         = actor.OnDefer("victim.do", victim.Do)
	victimType = actor.Define("victim", func(context.Context, actor.None) (victim, error) { return victim{}, nil }, do)
)

// Do does what the first word says. It answers before what it might not
// survive, and after everything else.
func (victim) Do(_ context.Context, words []string, reply actor.Reply[string]) error {
	text := ""
	switch words[0] {
	case "exit":
		os.Exit(number(words[1]))
	case "signal":
		endBySignal(syscall.Signal(number(words[1])))
	case "pid":
		text = strconv.Itoa(os.Getpid())
	case "image":
		text, _ = os.Readlink("/proc/self/exe")
	case "sh": // a script, in the background
		cmd := exec.Command("/bin/sh", "-c", words[1])
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		go cmd.Wait()
	case "output": // of a script
		out, err := exec.Command("/bin/sh", "-c", words[1]).CombinedOutput()
		if err != nil {
			return err
		}
		text = strings.TrimSpace(string(out))
	case "shut": // the control connection
		var pipe [2]int
		if err := errors.Join(unix.Pipe(pipe[:]), unix.SetNonblock(pipe[0], true), unix.Dup2(pipe[0], 3)); err != nil {
			return err
		}
	case "again": // says a second time that it is ready
		answer(message(&handshake.Note{Version: 1, Addr: "unix:/nowhere"}))
	case "gossip": // has a grandchild say it
		cmd := exec.Command("/bin/sh", "-c", `printf '\000\000\000\001\240' >&3`)
		cmd.ExtraFiles = []*os.File{control()}
		return errors.Join(cmd.Run(), reply.Send(""))
	case "deaf": // counts who asks it to go, and does not
		asked := make(chan os.Signal, 1000)
		signal.Notify(asked, syscall.SIGTERM)
		if err := reply.Send(""); err != nil {
			return err
		}
		for range asked {
			fmt.Fprintln(os.Stderr, "asked to go")
		}
	case "late": // goes, but takes its time
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		<-time.After(d)
	}
	return reply.Send(text)
}
