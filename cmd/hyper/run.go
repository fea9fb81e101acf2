package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
)

// runner runs one plan: it starts the procs, tells what happens to them and
// sees them end. Its loop alone uses board and ends, and writes events and
// words; what the procs write does not pass through it.
type runner struct {
	plan     runPlan
	rt       *hyperactor.Runtime
	consoles consoles
	board    board
	ends     []ending

	news chan news     // from the procs
	show chan struct{} // somebody wants to see the table
}

// news is what the loop is told of one proc: an event, or its end for good.
type news struct {
	rank  int
	event host.Event
	end   *ending
}

func runRun(args []string, stdout, stderr io.Writer) int {
	plan, err := parseRun(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	code := exitOurs
	if err == nil {
		code, err = plan.run(stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "hyper run:", err)
	}
	return code
}

// run runs the plan to its end and returns the exit code.
func (p *runPlan) run(stdout, stderr io.Writer) (code int, err error) {
	if p.program == launch.Self { // which has a meaning to launchers
		if p.program, err = exec.LookPath(p.program); err != nil {
			return exitNotFound, err
		}
	}
	probes := map[string]cmdproc.Probes{}
	for rank := range p.size {
		made, free, err := p.probes(rank)
		if err != nil {
			return exitOurs, err
		}
		defer free()
		probes[p.procName(rank)] = made
	}
	c, err := openConsoles(p, stdout, stderr)
	if err != nil {
		return exitOurs, err
	}
	code, err = p.runOn(c, probes)
	if err != nil {
		c.say("%s", oneLine(err.Error()))
	}
	if ok := c.close(); code == exitOK && (!ok || err != nil) {
		code = exitOurs
	}
	return code, nil // it was told, to those who still listen
}

// runOn runs the plan with the consoles open.
func (p *runPlan) runOn(c consoles, probes map[string]cmdproc.Probes) (code int, err error) {
	out := output{outlets: c.outlets(p.prefix), format: p.format()}
	rt, err := hyperactor.Start(context.Background(), hyperactor.Config{
		Grace: max(p.grace, 1), Logs: p.logs, NoLogs: p.logs.Path == "", Log: c.log(),
		OnGiveUp: func(*host.GaveUpError) {}, // it is told as the end of the proc
		Manager: func(parts hyperactor.Parts) host.ProcManager {
			out.kept = parts.Streams
			return cmdproc.New(p.managerConfig(parts, probes, &out))
		},
	})
	if errors.Is(err, capture.ErrInUse) {
		err = fmt.Errorf("--logs %q: another program writes there; name another directory: %w", p.logs.Path, err)
	}
	if err != nil {
		return exitOurs, err
	}
	defer func() { err = errors.Join(err, rt.Close()) }()
	r := newRunner(*p, rt, c)
	return r.run()
}

// managerConfig says how the procs are made.
func (p *runPlan) managerConfig(parts hyperactor.Parts, probes map[string]cmdproc.Probes, out *output) cmdproc.Config {
	cfg := cmdproc.Config{
		Host: parts.Host, Service: parts.Service, Gateway: parts.Gateway, Launcher: parts.Launcher, Mark: parts.Mark, Log: parts.Log,
		Name:    func(host.ProcSpec) string { return p.name },
		Probes:  func(s host.ProcSpec) cmdproc.Probes { return probes[s.Name] },
		Streams: out.streams,
	}
	if p.bare {
		cfg.Env = []string{}
	}
	return cfg
}

// format is how prefixed lines look: those of all procs are lined up.
func (p *runPlan) format() capture.Format {
	var all []capture.Source
	for rank := range p.size {
		all = append(all, capture.Source{Proc: p.procName(rank), Stream: launch.Stdout})
	}
	return capture.Format{}.FitWidth(all)
}

func newRunner(p runPlan, rt *hyperactor.Runtime, c consoles) *runner {
	labels := make([]string, p.size)
	for rank := range labels {
		labels[rank] = p.label(rank)
	}
	return &runner{
		plan: p, rt: rt, consoles: c, board: newBoard(labels, time.Now()), ends: make([]ending, p.size),
		news: make(chan news), show: make(chan struct{}, 1),
	}
}

// run starts the procs and returns when all have ended for good.
func (r *runner) run() (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	signals := catchSignals() // before there is a proc
	defer signal.Stop(signals)
	helpers.Go(func() { r.obey(ctx, signals) })
	r.watchEnter()

	var procs sync.WaitGroup
	defer procs.Wait()
	for rank := range r.plan.size {
		procs.Go(func() { r.supervise(rank) })
	}
	for left := r.plan.size; left > 0; {
		select {
		case n := <-r.news:
			if n.end != nil {
				left--
			}
			err = errors.Join(err, r.heard(n))
		case <-r.show:
			r.showTable()
		}
	}
	return codeOf(r.ends), err
}

// supervise has one proc run, as often as the plan says, and passes on what
// happens to it.
func (r *runner) supervise(rank int) {
	began := time.Now()
	s, err := r.rt.Host().Supervise(context.Background(), r.plan.spec(rank))
	if err != nil {
		r.unstarted(rank, began, err)
		return
	}
	for e := range s.Events(context.Background()) {
		r.news <- news{rank: rank, event: e}
	}
	exit, err := s.Wait(context.Background())
	r.news <- news{rank: rank, end: &ending{exit, err}}
}

// unstarted passes on that the first start came to nothing, in which case
// there is nobody whose events could be watched.
func (r *runner) unstarted(rank int, began time.Time, err error) {
	exit := launch.Exit{Kind: launch.Failed, Phase: launch.PhaseExec, Cause: err.Error(), Started: began, Ended: time.Now()}
	name := r.plan.procName(rank)
	r.news <- news{rank: rank, event: host.Event{Time: began, Kind: host.EventStarting, Name: name, Incarnation: 1}}
	r.news <- news{rank: rank, event: host.Event{Time: exit.Ended, Kind: host.EventExited, Name: name, Incarnation: 1, Exit: exit, Cause: exit.Cause}}
	r.news <- news{rank: rank, end: &ending{err: err}}
}

// heard takes in what happened and tells those who want to know. The error is
// one of ours.
func (r *runner) heard(n news) error {
	if n.end != nil {
		r.ends[n.rank] = *n.end
		r.consoles.say("%s: %v", r.plan.label(n.rank), *n.end)
		return nil
	}
	last := r.board[n.rank].last
	r.board.take(n.rank, n.event)
	if n.event.Kind == host.EventRestarting {
		r.consoles.say("%s: %s; it starts again in %s (start %d)", r.plan.label(n.rank), last, short(n.event.Delay), n.event.Incarnation+1)
	}
	if r.consoles.events == nil {
		return nil
	}
	line, err := recordOf(r.plan.name, n.rank, n.event).line()
	if err != nil {
		return fmt.Errorf("--events: %w", err)
	}
	r.consoles.events.Write(line)
	return nil
}

// showTable shows how the procs are, and what they say of themselves.
func (r *runner) showTable() {
	living := map[string]host.Status{}
	for _, h := range r.rt.Host().Procs() {
		if st := h.Status(); st.Phase != host.Exited {
			living[h.ID().Name] = st
		}
	}
	rows := slices.Clone(r.board)
	for rank := range rows {
		if st, ok := living[r.plan.procName(rank)]; ok {
			rows[rank].look(st)
		}
	}
	var b bytes.Buffer
	rows.write(&b, time.Now()) // a buffer takes all
	r.consoles.talk.Write(b.Bytes())
}
