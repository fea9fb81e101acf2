// Command bench measures how fast messages go between two processes with
// hyperactor, and beside it with sockets, net/rpc, gRPC-Go and NATS, all in one
// run on one machine. It also tries what becomes of messages of every size.
//
// It is a module of its own, so that who uses hyperactor does not get NATS into
// their module graph. From the root of the repository:
//
//	go -C bench run .                          # everything: about six minutes
//	go -C bench run . -quick                   # does it all work: some seconds
//	go -C bench run . -only '64 B over unix'   # what has such a title
//	go -C bench run . -json results.json       # in bench/; "-" is stdout, instead of the table
//	go -C bench run . -markdown RESULTS.md
//
// The far side of every contender has a session of its own (setsid), as a proc
// has, and anything that a service manager starts. That matters: a Linux kernel
// with sched_autogroup schedules each session as a group, and a switch between
// two groups costs some 2 us more than one within a group, which is a fifth of a
// round trip over a unix socket.
//
// The program starts itself again for the far sides. It ends with 1 if something
// of ours did not work, whatever the speed, and with 2 for a wrong flag.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"time"

	"github.com/hyperactor/hyperactor"
)

func main() {
	runFar()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errUsage):
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// runFar returns at once, unless this process is the far side of a contender:
// then it becomes that, and ends.
func runFar() {
	hyperactor.RunChild(programConfig())
	spec, ok := os.LookupEnv(farVariable)
	if !ok {
		return
	}
	if err := serveFar(spec, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench: far side:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// errUsage is a wrong flag: the flag package has said which.
var errUsage = errors.New("wrong usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	quick := f.Bool("quick", false, "see that everything works, in some seconds: the figures mean nothing")
	only := f.String("only", "", "what has a title that matches this `regexp`")
	rounds := f.Int("rounds", 5, "measure everything this `often`")
	sample := f.Duration("time", 300*time.Millisecond, "`duration` of one measurement")
	sessions := f.Int("sessions", 10000, "`number` of idle sessions")
	jsonFile := f.String("json", "", "write all figures to `file`; - is stdout, instead of the table")
	markdownFile := f.String("markdown", "", "write the table to `file`")
	profiles := f.String("profile", "", "write CPU profiles of both sides of ours into `directory`")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage
	}
	b := &bench{talk: stderr, options: options{
		rounds: max(1, *rounds), time: *sample, sessions: max(1, *sessions), maxSize: 256 << 20, sizeStep: 2, profiles: *profiles,
	}}
	if *quick {
		b.rounds, b.time, b.sessions, b.maxSize, b.sizeStep = 1, 10*time.Millisecond, 100, 17<<20, 16
	}
	if *only != "" {
		re, err := regexp.Compile(*only)
		if err != nil {
			fmt.Fprintln(stderr, "bench: -only:", err)
			return errUsage
		}
		b.only = re
	}
	r, err := b.run(ctx)
	if err != nil {
		return err
	}
	return errors.Join(append(r.failures(), r.write(*jsonFile, *markdownFile, stdout))...)
}

// write writes the report where it is wanted.
func (r report) write(jsonFile, markdownFile string, stdout io.Writer) error {
	var errs []error
	if markdownFile != "" {
		errs = append(errs, toFile(markdownFile, r.writeMarkdown))
	}
	switch jsonFile {
	case "-":
		return errors.Join(append(errs, r.writeJSON(stdout))...)
	case "":
	default:
		errs = append(errs, toFile(jsonFile, r.writeJSON))
	}
	return errors.Join(append(errs, r.writeText(stdout))...)
}

func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func toFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
