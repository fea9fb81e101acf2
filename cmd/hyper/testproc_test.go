package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/hyperactor/hyperactor/launch"
)

// testproc is the command of that name in the sessions: it plays the procs
// that sh cannot play, and whoever runs hyper.
func testproc() {
	code, err := 0, error(nil)
	switch verb, args := os.Args[1], os.Args[2:]; verb {
	case "bytes":
		all := make([]byte, 1<<18+1)
		for i := range all {
			all[i] = byte(i * i >> 4)
		}
		os.Stdout.Write(all)
	case "hang":
		told := untilTold()
		fmt.Println(strings.Join(args, " "))
		<-told
	case "http":
		err = serve(args[0], func(l net.Listener) error {
			return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL) }))
		})
	case "grpc":
		err = serve(args[0], func(l net.Listener) error {
			s := grpc.NewServer()
			grpc_health_v1.RegisterHealthServer(s, health.NewServer())
			return s.Serve(l)
		})
	case "notify":
		told := untilTold()
		if err = notify(strings.Join(args, "\n")); err == nil {
			<-told
		}
	case "events":
		var f *os.File
		if f, err = os.Open(args[0]); err == nil {
			err = eachEvent(f, func(e eventRecord) bool { fmt.Println(condensed(e)); return true })
		}
	case "after":
		code, err = after(strings.Split(args[0], ","), args[1:])
	default:
		err = fmt.Errorf("there is no %q", verb)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testproc:", err)
		code = 1
	}
	os.Exit(code)
}

// untilTold returns what is there when SIGTERM comes, which does not end the
// process any more.
func untilTold() <-chan os.Signal {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	return told
}

// serve has f serve a unix socket until SIGTERM.
func serve(path string, f func(net.Listener) error) error {
	told := untilTold()
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go func() { // ends with the process
		fmt.Fprintln(os.Stderr, f(l))
		os.Exit(1)
	}()
	<-told
	return nil
}

// notify does what sd_notify(3) does.
func notify(message string) error {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(message))
	return err
}

// after runs a command that writes events to stdout, and prints them in short.
// Each step is an event to wait for, with a signal to send then: "ready:INT".
func after(steps, command []string) (code int, err error) {
	// Under nohup SIGHUP is ignored, and would be by what we start. What we catch
	// it does not inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return 0, err
	}
	err = eachEvent(out, func(e eventRecord) bool {
		fmt.Println(condensed(e))
		if len(steps) == 0 {
			return true
		}
		if kind, sig, signalled := strings.Cut(steps[0], ":"); kind == e.Event {
			steps = steps[1:]
			if signalled {
				cmd.Process.Signal(unix.SignalNum("SIG" + sig))
			}
		}
		return true
	})
	if waitErr := cmd.Wait(); waitErr != nil && !cmd.ProcessState.Exited() {
		return 0, waitErr
	}
	if err == nil && len(steps) > 0 && steps[0] != "" {
		err = fmt.Errorf("these never came: %q", steps)
	}
	return cmd.ProcessState.ExitCode(), err
}

// eachEvent calls f with each event of r, which has nothing else, until f
// returns false.
func eachEvent(r io.Reader, f func(eventRecord) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4*launch.MaxTail) // an exit has the last lines in it
	for lines.Scan() {
		d := json.NewDecoder(strings.NewReader(lines.Text()))
		d.DisallowUnknownFields()
		var e eventRecord
		if err := d.Decode(&e); err != nil {
			return fmt.Errorf("%w in %s", err, lines.Text())
		}
		if !f(e) {
			break
		}
	}
	return lines.Err()
}

// condensed is an event without what differs from run to run.
func condensed(e eventRecord) string {
	s := fmt.Sprintf("%d %d %s", e.Rank, e.Incarnation, e.Event)
	if e.Exit == nil {
		return s
	}
	s += " " + e.Exit.Kind
	if e.Exit.Signal != 0 {
		s += fmt.Sprintf(" signal %d", e.Exit.Signal)
	} else {
		s += fmt.Sprintf(" code %d", e.Exit.Code)
	}
	s += " in " + e.Exit.Phase
	if e.Exit.Cause != "" {
		s += " because " + e.Exit.Cause
	}
	if r := e.Exit.Requested; r != nil {
		s += " by " + r.By + ": " + r.Why
	}
	if e.Exit.Stderr != "" {
		s += ", " + e.Exit.Stderr
	}
	return s
}
