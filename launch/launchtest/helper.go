package launchtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hyperactor/hyperactor/launch"
)

// variable tells a copy of the test binary how to behave.
const variable = "LAUNCHTEST_BEHAVIOUR"

// Main runs the tests, or plays a child of them if that is what this process
// is. Call it from TestMain; it does not return. Some children launch
// processes in their turn, with newLauncher.
func Main(m *testing.M, newLauncher func() launch.Launcher) {
	words := strings.Fields(os.Getenv(variable))
	if len(words) == 0 {
		os.Exit(m.Run())
	}
	os.Exit(behave(words[0], words[1:], newLauncher))
}

// behave plays a child and returns its exit code.
func behave(behaviour string, args []string, newLauncher func() launch.Launcher) int {
	switch behaviour {
	case "exit":
		return number(args[0])
	case "hold": // until a signal ends it
		fmt.Println("ready")
		hold()
	case "deaf": // to SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		hold()
	case "polite": // exits on SIGTERM with a code
		sigs := make(chan os.Signal, 1)
		signal.Notify(sigs, syscall.SIGTERM)
		fmt.Println("ready")
		<-sigs
		return number(args[0])
	case "lifeline": // until its lifeline ends, then exits with a code
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, lifeline())
		return number(args[0])
	case "print":
		return spam(number(args[0]))
	case "long-line":
		fmt.Print(strings.Repeat("x", number(args[0])))
	case "environment":
		for _, kv := range os.Environ() {
			fmt.Println(strconv.Quote(kv))
		}
	case "arguments":
		for _, arg := range os.Args {
			fmt.Println(strconv.Quote(arg))
		}
	case "directory":
		dir, err := os.Getwd()
		fmt.Println(dir)
		return exitCode(err)
	case "close-output":
		os.Stdout.Close()
		os.Stderr.Close()
		_, _ = io.Copy(io.Discard, lifeline())
		return 4
	case "descriptors":
		return descriptors()
	case "leave": // descendants in its group
		return leave(number(args[0]), nil)
	case "leave-escaped": // a descendant that has left the group and holds stdout
		return leave(1, &syscall.SysProcAttr{Setsid: true})
	case "nested":
		return nested(newLauncher())
	case "starved":
		return exitCode(starved(newLauncher()))
	case "hog": // memory
		return hog(number(args[0]))
	case "hog-below": // a grandchild is the hog
		return exitCode(grandchild(lifeline(), "hog", args[0]).Run())
	case "escape": // starts a descendant that has left the group, and holds
		cmd := grandchild(lifeline(), "lifeline", "0")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return exitCode(err)
		}
		fmt.Println("ready")
		hold()
	case "unprivileged":
		return exitCode(unprivileged(newLauncher(), args[0]))
	case "headless":
		return headless(number(args[0]))
	default:
		fmt.Fprintf(os.Stderr, "no behaviour %q\n", behaviour)
		return 99
	}
	return 0
}

// lifeline is descriptor 3. A second File of it would close it for the first.
func lifeline() *os.File { return os.NewFile(3, "lifeline") }

// grandchild describes a child of ours that behaves in the given way. It shares
// our stdout and our lifeline.
func grandchild(lifeline *os.File, behaviour string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+strings.Join(append([]string{behaviour}, args...), " "))
	cmd.Stdout = os.Stdout
	cmd.ExtraFiles = []*os.File{lifeline}
	return cmd
}

// hog takes and uses so many mebibytes.
func hog(mebibytes int) int {
	var all [][]byte
	for range mebibytes {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 512 {
			b[i] = 1
		}
		all = append(all, b)
	}
	runtime.KeepAlive(all)
	return 0
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func exitCode(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// hold blocks for good. A channel that nothing sends to would be a deadlock.
func hold() {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGUSR2)
	<-sigs
}

// spam prints n numbered lines and one without an end, to both streams.
func spam(n int) int {
	for _, w := range []*os.File{os.Stdout, os.Stderr} {
		b := bufio.NewWriter(w)
		for i := range n {
			fmt.Fprintf(b, "line %d\n", i)
		}
		fmt.Fprint(b, "the end")
		b.Flush()
	}
	return 0
}

// descriptors prints the descriptors that were inherited: those that this
// program has opened itself are close-on-exec.
func descriptors() int {
	for fd := range 1024 {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			fmt.Println(fd)
		}
	}
	null, _ := os.Stat(os.DevNull)
	stdin, _ := os.Stdin.Stat()
	fmt.Println("stdin is null:", os.SameFile(null, stdin))
	return 0
}

// leave starts n descendants that hold stdout and the lifeline, and goes.
func leave(n int, attr *syscall.SysProcAttr) int {
	shared := lifeline()
	for range n {
		cmd := grandchild(shared, "lifeline", "0")
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			return exitCode(err)
		}
	}
	fmt.Println("left")
	return 0
}
