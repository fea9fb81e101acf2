package cmdproc_test

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// variable tells a copy of the test binary what to do as a command.
const variable = "CMDPROC_TEST"

// TestMain runs the tests, or is a command.
func TestMain(m *testing.M) {
	words := strings.Fields(os.Getenv(variable))
	if len(words) == 0 {
		os.Exit(m.Run())
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	act(words[0], words[1:], stop)
	<-stop
	os.Exit(0)
}

// act does what a command is for. When it returns, the command serves until it
// is asked to stop, and exits with 0.
func act(what string, args []string, stop chan os.Signal) {
	switch what {
	case "serve":
		serving()
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		serving()
	case "listen": // GATE ADDR: listens when the gate is open
		pass(args[0])
		if _, err := net.Listen("tcp", args[1]); err != nil {
			fail(err)
		}
	case "print": // GATE LINE
		fmt.Println("not yet")
		pass(args[0])
		fmt.Println(args[1])
	case "create": // GATE PATH
		pass(args[0])
		if err := os.WriteFile(args[1], nil, 0o600); err != nil {
			fail(err)
		}
	case "notify": // GATE MESSAGE GATE MESSAGE ...: each when its gate is open
		for i := 0; i+1 < len(args); i += 2 {
			if args[i] != "-" {
				pass(args[i])
			}
			notify(args[i+1])
		}
	case "notify-deaf": // MESSAGE
		signal.Ignore(syscall.SIGTERM)
		notify(args[0])
	case "notify-exit": // MESSAGE
		notify(args[0])
		os.Exit(0)
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot go on")
		code, err := strconv.Atoi(args[0])
		if err != nil {
			fail(err)
		}
		os.Exit(code)
	default:
		fail(fmt.Errorf("%q is nothing to do", what))
	}
}

// serving says that the command is ready, to whoever listens.
func serving() {
	fmt.Println("serving")
	if os.Getenv("NOTIFY_SOCKET") != "" {
		notify("READY=1")
	}
}

// pass waits until the gate is open.
func pass(gate string) {
	f, err := os.Open(gate)
	if err != nil {
		fail(err)
	}
	defer f.Close()
	if _, err := f.Read(make([]byte, 5)); err != nil {
		fail(err)
	}
}

// notify is sd_notify(3). A message is one word for act: '_' is a space in it,
// and '|' a newline.
func notify(message string) {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		fail(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.NewReplacer("_", " ", "|", "\n").Replace(message))); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(70)
}
