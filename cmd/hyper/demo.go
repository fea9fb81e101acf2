package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/launch"
)

// demo is one run of the demo.
type demo struct {
	demoOptions
	talk    io.Writer // what is said on the way
	display display
}

// demoOptions is what can be asked for.
type demoOptions struct {
	dir    string
	procs  int
	local  bool
	chaos  bool
	asJSON bool
}

const maxProcs = 1024

const demoUsage = `usage: hyper demo [flags] [DIR]

Counts the words of every text file under DIR (the current directory) in actors
that live in child processes, checks the result against a count in this process,
and looks for processes that were left over. The exit code is 0 if the counts
are the same and nothing is left over.

A word is a run of letters, digits and '_', in lower case; what is longer than
64 bytes is not one. A file that is not valid UTF-8, or contains a NUL, is
binary and skipped. Symbolic links are not followed.

flags:
`

// parseDemo reads the arguments. The error is flag.ErrHelp, or says what to do.
func parseDemo(args []string, help io.Writer) (demoOptions, error) {
	o := demoOptions{dir: "."}
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&o.procs, "procs", 4, fmt.Sprintf("how many procs count at once, 1 to %d", maxProcs))
	fs.BoolVar(&o.local, "local", false, "have the procs live inside this process")
	fs.BoolVar(&o.chaos, "chaos", false, fmt.Sprintf("kill a random proc every %v", chaosEvery))
	fs.BoolVar(&o.asJSON, "json", false, "print one JSON document")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(help, demoUsage)
			fs.SetOutput(help)
			fs.PrintDefaults()
			return o, err
		}
		return o, fmt.Errorf("%w; \"hyper demo -h\" lists the flags", err)
	}
	if fs.NArg() > 1 {
		return o, fmt.Errorf("one directory can be counted, not %q; flags come before it", fs.Args())
	}
	if fs.NArg() == 1 {
		o.dir = fs.Arg(0)
	}
	if o.procs < 1 || o.procs > maxProcs {
		return o, fmt.Errorf("--procs %d: choose 1 to %d", o.procs, maxProcs)
	}
	return o, nil
}

func runDemo(args []string, stdout, stderr io.Writer) int {
	o, err := parseDemo(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "hyper demo:", err)
		return exitUsage
	}
	ctx, stop := untilSignal()
	defer stop()
	l, err := list(ctx, o.dir)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "hyper demo: DIR %q: %v; name a directory to count\n", o.dir, err)
		return exitUsage
	}
	var r *report
	if err == nil {
		d := demo{demoOptions: o, talk: stderr, display: newDisplay(stderr)}
		r, err = d.run(ctx, l)
	}
	return finish(r, err, o.asJSON, stdout, stderr)
}

// finish writes the report, or why there is none, and returns the exit code.
func finish(r *report, err error, asJSON bool, stdout, stderr io.Writer) int {
	if err == nil {
		write := r.writeText
		if asJSON {
			write = r.writeJSON
		}
		err = write(stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "hyper demo:", err)
		if s, ok := errors.AsType[interrupted](err); ok {
			return 128 + int(s.signal)
		}
		return exitFailed
	}
	if !r.ok() {
		return exitFailed
	}
	return exitOK
}

// interrupted is why a ctx ended that a signal has ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "stopped: " + i.signal.String() }

// untilSignal returns a ctx that ends with the first SIGINT or SIGTERM. The
// next SIGINT has its usual effect; a SIGTERM may come twice, as from timeout(1).
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	interrupts, terms := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Notify(terms, syscall.SIGTERM)
	var wg sync.WaitGroup
	wg.Go(func() {
		var s os.Signal
		select {
		case s = <-interrupts:
		case s = <-terms:
		case <-ctx.Done():
			return
		}
		signal.Stop(interrupts)
		cancel(interrupted{s.(syscall.Signal)})
	})
	return ctx, func() {
		cancel(nil)
		wg.Wait()
		signal.Stop(interrupts)
		signal.Stop(terms)
	}
}

// grace is how long the procs may take to end.
const grace = 3 * time.Second

// run counts the files, with procs and then without, and looks for leftovers.
func (d *demo) run(ctx context.Context, l *listing) (*report, error) {
	d.announce(l)
	began := time.Now()
	rt, err := hyperactor.Start(ctx, hyperactor.Config{Types: types(), Local: d.local, Grace: grace})
	if err != nil {
		return nil, err
	}
	q := newQueue(l.files)
	c := &crew{rt: rt, queue: q}
	err = d.display.during(
		func() error { return d.work(ctx, c) },
		func() progress {
			bytes, _ := q.progress()
			return progress{"counting", bytes, l.size, time.Since(began), c.note()}
		})
	r := &report{Dir: l.dir, Seconds: time.Since(began).Seconds()}
	if err == nil {
		err = d.verify(ctx, l, q, r)
	}
	err = errors.Join(err, rt.Close())
	r.Procs, r.Kills = c.lines(), c.killed()
	left, leftErr := leftover(rt)
	switch {
	case errors.Is(leftErr, errors.ErrUnsupported):
		fmt.Fprintln(d.talk, "left-over processes cannot be counted on this system")
	case leftErr != nil:
		err = errors.Join(err, leftErr)
	default:
		r.Leftover = &left
		if left > 0 {
			fmt.Fprintf(d.talk, "%d processes are left over\n", left)
		}
	}
	return r, err
}

func (d *demo) announce(l *listing) {
	fmt.Fprintf(d.talk, "%d files, %s, under %s\n", len(l.files), size(l.size), l.dir)
	if l.links > 0 || l.special > 0 {
		fmt.Fprintf(d.talk, "skipped: %d symbolic links, %d special files\n", l.links, l.special)
	}
	for _, err := range l.failed {
		fmt.Fprintln(d.talk, "cannot be listed:", err)
	}
}

// work has the crew count, and harasses it meanwhile if that was asked for.
func (d *demo) work(ctx context.Context, c *crew) error {
	ctx = c.rt.Context(ctx)
	chaos, peace := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if d.chaos {
		wg.Go(func() { c.harass(chaos) })
	}
	defer wg.Wait()
	defer peace()
	return c.work(ctx, d.procs)
}

// verify fills in what was counted, and whether it is right.
func (d *demo) verify(ctx context.Context, l *listing, q *queue, r *report) error {
	var read atomic.Int64
	var total *tally
	var here []outcome
	began := time.Now()
	err := d.display.during(
		func() (err error) { total, here, err = recount(ctx, l.files, &read); return err },
		func() progress { return progress{"checking", read.Load(), l.size, time.Since(began), ""} })
	if err != nil {
		return err
	}
	r.doubts = compare(l.files, q.outcomes, here, &q.total, total)
	r.Verified = len(r.doubts) == 0
	r.Words, r.Distinct, r.Top = q.total.total, len(q.total.words), q.total.top(10)
	binaries := 0
	for i, o := range q.outcomes {
		switch o.kind {
		case text:
			r.Files++
			r.Bytes += o.bytes
		case binary:
			binaries++
		default:
			fmt.Fprintf(d.talk, "%q: %v\n", l.files[i].path, o)
		}
	}
	if binaries > 0 {
		fmt.Fprintf(d.talk, "skipped: %d binary files\n", binaries)
	}
	for _, s := range r.doubts {
		fmt.Fprintln(d.talk, "not verified:", s)
	}
	return nil
}

// leftover counts the processes that descend from rt, and our children, which
// may be zombies.
func leftover(rt *hyperactor.Runtime) (int, error) {
	descendants, err := rt.Descendants()
	if err != nil {
		return 0, err
	}
	children, err := launch.Children()
	if err != nil {
		return 0, err
	}
	all := slices.Concat(descendants, children)
	slices.Sort(all)
	return len(slices.Compact(all)), nil
}
