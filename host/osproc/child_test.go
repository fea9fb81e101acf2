package osproc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host/hosttest"
	"github.com/hyperactor/hyperactor/internal/handshake"
)

// variable tells a copy of the test binary how to misbehave.
const variable = "OSPROC_TEST"

// TestMain runs the tests. In a child of theirs it misbehaves, if that is what
// the child is for, and then becomes a proc like any other.
func TestMain(m *testing.M) {
	words := strings.Fields(os.Getenv(variable))
	if len(words) > 0 {
		misbehave(words[0], words[1:])
	}
	hyperactor.RunChild(hyperactor.Config{Types: append(hosttest.Types(), misfitType)})
	if len(words) > 0 {
		os.Exit(number(words[1])) // "unless-proc": nobody took this process for a proc
	}
	os.Exit(m.Run())
}

// misbehave does what a program could do before it becomes a proc. If it
// returns, the program goes on.
func misbehave(how string, args []string) {
	switch how {
	case "exit": // before the handshake
		os.Exit(number(args[0]))
	case "signal": // likewise
		endBySignal(number(args[0]))
	case "panic": // likewise
		panic("no " + strings.Join(args, " "))
	case "mute": // never shakes hands
		hold()
	case "print":
		fmt.Println("good morning")
		fmt.Fprintln(os.Stderr, "good evening")
	case "exit-during":
		readBoot()
		os.Exit(number(args[0]))
	case "garbage":
		answer([]byte{0, 0, 0, 3, 0xff, 0xff, 0xff})
	case "oversize":
		answer([]byte{0xff, 0xff, 0xff, 0xff})
	case "partial":
		control().Write([]byte{0, 0, 1, 0, 0xa3})
		os.Exit(number(args[0]))
	case "version":
		answer(message(&handshake.Note{Version: readBoot().Version + 1}))
	case "stale":
		b := readBoot()
		answer(message(&handshake.Note{Version: b.Version, Once: []byte("another"), Addr: b.Listen}))
	case "nowhere": // says that it is ready where nobody listens, and goes
		b := readBoot()
		control().Write(message(&handshake.Note{Version: b.Version, Once: b.Once, Addr: b.Listen}))
		os.Exit(number(args[0]))
	case "shut":
		readBoot()
		control().Close()
		hold()
	case "inherited":
		inherited()
	case "hold": // a grandchild: until the file ends
		f, err := os.Open(args[0])
		if err != nil {
			fail(err)
		}
		io.Copy(io.Discard, f)
		os.Exit(0)
	case "unless-proc":
	default:
		fail(fmt.Errorf("no behaviour %q", how))
	}
}

func control() *os.File { return os.NewFile(3, "control") }

func readBoot() (b handshake.Boot) {
	if err := handshake.Read(control(), &b); err != nil {
		fail(err)
	}
	return b
}

func message(n *handshake.Note) []byte {
	var b bytes.Buffer
	if err := handshake.Write(&b, n); err != nil {
		fail(err)
	}
	return b.Bytes()
}

// answer gives an answer and waits for what comes of it.
func answer(b []byte) {
	if _, err := control().Write(b); err != nil {
		fail(err)
	}
	hold()
}

// inherited prints the descriptors and the environment that this process has
// inherited: what it has opened itself is close-on-exec.
func inherited() {
	for fd := range 1024 {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fmt.Fprintln(os.Stderr, "fd", fd)
		}
	}
	for _, kv := range os.Environ() {
		fmt.Fprintln(os.Stderr, kv)
	}
	os.Exit(0)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(99)
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fail(err)
	}
	return n
}

func endBySignal(n int) {
	signal.Reset()
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	syscall.Kill(os.Getpid(), syscall.Signal(n))
	hold()
}

// hold blocks for good. A channel that nothing sends to would be a deadlock.
func hold() {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGUSR2)
	<-sigs
}

// misfit is an actor that makes its process misbehave once it is a proc.
type misfit struct{}

var (
	do         = actor.OnDefer("misfit.do", misfit.Do)
	misfitType = actor.Define("misfit", func(context.Context, actor.None) (misfit, error) { return misfit{}, nil }, do)
)

// Do does what the first word says. It answers before it does something that
// it might not survive, and after everything else.
func (misfit) Do(_ context.Context, words []string, reply actor.Reply[string]) error {
	args := words[1:]
	switch words[0] {
	case "exit":
		os.Exit(number(args[0]))
	case "signal":
		endBySignal(number(args[0]))
	case "panic": // outside of any actor
		go panic(args[0])
		hold()
	case "panic in a crowd": // whose goroutines say more than the reason
		debug.SetTraceback("all")
		for range 200 {
			go hold()
		}
		go panic(args[0])
		hold()
	case "print":
		fmt.Fprintln(os.Stderr, args[0])
	case "shut": // the control connection; the process lives
		var pipe [2]int
		if err := unix.Pipe(pipe[:]); err != nil {
			return err
		}
		if err := unix.SetNonblock(pipe[0], true); err != nil {
			return err
		}
		if err := unix.Dup2(pipe[0], 3); err != nil { // who reads from it just waits
			return err
		}
	case "ignore": // SIGTERM, and be busy
		signal.Ignore(syscall.SIGTERM)
		reply.Send("")
		hold()
	case "leave": // grandchildren that live until the file ends
		return leave(number(args[0]), args[1], &syscall.SysProcAttr{Setsid: len(args) > 2})
	case "run":
		cmd := exec.Command(args[0])
		cmd.Env = append(os.Environ(), args[1:]...)
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return reply.Send(string(out))
	}
	return reply.Send("")
}

// leave starts grandchildren that hold stdout, and ends this process.
func leave(n int, path string, attr *syscall.SysProcAttr) error {
	for range n {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), variable+"=hold "+path)
		cmd.Stdout = os.Stdout
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	os.Exit(0)
	return nil
}
