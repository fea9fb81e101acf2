package main

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
	"github.com/hyperactor/hyperactor/restart"
)

// runPlan is what "hyper run" was asked to do.
type runPlan struct {
	name string // of the set; a proc of it is name[rank]
	size int

	program string
	args    []string
	env     []string // of --env
	bare    bool     // nothing of our environment
	dir     string
	limits  launch.Limits

	restart      restart.Mode
	restarts     restart.Limits
	ready, live  string // as probe.Parse reads them, or ""
	readyTimeout time.Duration
	liveEvery    time.Duration
	liveFailures int
	grace        time.Duration

	logs   capture.Config // no Path: no logs
	prefix prefixMode
	events string // a path, "-" for stdout, or ""
}

// rankMark is replaced by a proc's rank.
const rankMark = "{rank}"

// nameOf makes a valid name of a program's.
func nameOf(program string) string {
	name := strings.Map(func(r rune) rune {
		if id.CheckName("a"+string(r)) != nil {
			return '-'
		}
		return r
	}, path.Base(program))
	name = strings.TrimLeft(name, "-._")
	name = name[:min(len(name), maxSetName)]
	if id.CheckName(name) != nil {
		return "proc"
	}
	return name
}

// maxSetName leaves room for the rank in the name of a proc.
const maxSetName = id.MaxName - len("-1024")

// procName is the name of a proc on its host, and of its logs.
func (p *runPlan) procName(rank int) string { return p.name + "-" + strconv.Itoa(rank) }

// label is how people see it.
func (p *runPlan) label(rank int) string { return fmt.Sprintf("%s[%d]", p.name, rank) }

// spec describes one proc.
func (p *runPlan) spec(rank int) host.ProcSpec {
	own := func(s string) string { return strings.ReplaceAll(s, rankMark, strconv.Itoa(rank)) }
	s := host.ProcSpec{
		Name: p.procName(rank), Program: p.program, Dir: own(p.dir), Limits: p.limits,
		ReadyTimeout: p.readyTimeout, Restart: p.restart, RestartLimits: p.restarts,
	}
	for _, a := range p.args {
		s.Args = append(s.Args, own(a))
	}
	for _, kv := range p.env {
		s.Env = append(s.Env, own(kv))
	}
	s.Env = append(s.Env, "HYPER_RANK="+strconv.Itoa(rank), "HYPER_SIZE="+strconv.Itoa(p.size))
	return s
}

// probes makes the probes of one proc. They serve all its incarnations.
func (p *runPlan) probes(rank int) (_ cmdproc.Probes, free func() error, err error) {
	var made checks
	defer func() {
		if err != nil {
			_ = made.close() // nothing was asked yet
		}
	}()
	ready, err := made.probe(p.ready, rank, probe.Config{})
	if err != nil {
		return cmdproc.Probes{}, nil, fmt.Errorf("--ready: %w", err)
	}
	live, err := made.probe(p.live, rank, probe.Config{Interval: p.liveEvery, Failures: p.liveFailures})
	if err != nil {
		return cmdproc.Probes{}, nil, fmt.Errorf("--live: %w", err)
	}
	if live.Spec.Kind == probe.KindLog {
		return cmdproc.Probes{}, nil, fmt.Errorf("--live %q: a line tells that a command is ready, not that it still works; use one of the other probes", p.live)
	}
	probes := cmdproc.Probes{Ready: ready, Live: live, Grace: max(p.grace, 1)}
	if live.Spec.Kind == probe.KindNotify {
		probes.Watchdog = p.liveEvery
	}
	return probes, made.close, nil
}
