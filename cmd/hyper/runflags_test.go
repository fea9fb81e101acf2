package main

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
	"github.com/hyperactor/hyperactor/restart"
)

// unasked is the plan for "hyper run -- true".
func unasked() runPlan {
	return runPlan{
		name: "true", size: 1, program: "true", args: []string{}, grace: 10 * time.Second,
		liveEvery: 10 * time.Second, liveFailures: 3,
	}
}

func TestParseRun(t *testing.T) {
	for args, want := range map[string]func(*runPlan){
		"true":                         func(*runPlan) {},
		"-- true":                      func(*runPlan) {},
		"-n 3 -- true":                 func(p *runPlan) { p.size = 3 },
		"-n=3 --name=web true":         func(p *runPlan) { p.size, p.name = 3, "web" },
		"-- true -n 3":                 func(p *runPlan) { p.args = []string{"-n", "3"} },
		"true -- x":                    func(p *runPlan) { p.args = []string{"--", "x"} },
		"-- /usr/bin/true":             func(p *runPlan) { p.program = "/usr/bin/true" },
		"--restart on-failure -- true": func(p *runPlan) { p.restart = restart.OnFailure },
		"--restart always --max-restarts 3 --within 1m --backoff 1s..2m -- true": func(p *runPlan) {
			p.restart = restart.Always
			p.restarts = restart.Limits{
				MaxRestarts: 3, Within: time.Minute, MaxUnready: -1, Backoff: restart.Backoff{Min: time.Second, Max: 2 * time.Minute},
			}
		},
		"--restart always --max-restarts unlimited -- true": func(p *runPlan) {
			p.restart = restart.Always
			p.restarts = restart.Limits{MaxRestarts: -1, MaxUnready: -1}
		},
		"--grace 0s -- true": func(p *runPlan) { p.grace = 0 },
		"--ready tcp=:80 --ready-timeout 5s --live notify --live-every 2s --live-failures 1 -- true": func(p *runPlan) {
			p.ready, p.readyTimeout, p.live, p.liveEvery, p.liveFailures = "tcp=:80", 5*time.Second, "notify", 2*time.Second, 1
		},
		"--dir / --env A=1 --env B= --clear-env -- true": func(p *runPlan) {
			p.dir, p.env, p.bare = "/", []string{"A=1", "B="}, true
		},
		"--user 4000000:7 --cpus 0-2,1 --memory 1M --pids 9 --rlimit nofile=1:2 --rlimit core=0 --nice -5 -- true": func(p *runPlan) {
			p.limits = launch.Limits{
				User: &launch.User{UID: 4000000, GID: 7}, CPUs: []int{0, 1, 2}, Memory: 1 << 20, PIDs: 9, Nice: new(-5),
				Rlimits: []launch.Rlimit{{Name: "nofile", Soft: 1, Hard: 2}, {Name: "core"}},
			}
		},
		"--logs d --log-size 1K --log-files 2 --prefix never --events - -- true": func(p *runPlan) {
			p.logs, p.prefix, p.events = capture.Config{Path: "d", MaxBytes: 1024, MaxFiles: 2}, prefixNever, "-"
		},
	} {
		t.Run(args, func(t *testing.T) {
			plan := unasked()
			want(&plan)
			got, err := parseRun(strings.Fields(args), io.Discard)
			if err != nil || !reflect.DeepEqual(got, plan) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, plan)
			}
		})
	}
}

// TestUsageNamesAllFlags sees that there is no flag that the help does not name.
func TestUsageNamesAllFlags(t *testing.T) {
	f := runFlags{set: flag.NewFlagSet("", flag.ContinueOnError)}
	f.define()
	f.set.VisitAll(func(one *flag.Flag) {
		if !strings.Contains(runUsage, "\n  "+dashed(one.Name)) {
			t.Errorf("%s is not in the help", dashed(one.Name))
		}
	})
	var help strings.Builder
	if _, err := parseRun([]string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) || help.String() != runUsage {
		t.Errorf("%v, %q", err, help.String())
	}
	for line := range strings.Lines(runUsage) {
		if len(line) > 100 {
			t.Errorf("a line of the help has %d bytes: %s", len(line), line)
		}
	}
}

func TestPlanSpec(t *testing.T) {
	p := runPlan{
		name: "web", size: 12, program: "serve{rank}", args: []string{"-p", "80{rank}", "{rank}{rank}"}, env: []string{"D=/d{rank}"}, dir: "/w{rank}",
		restart: restart.Always, readyTimeout: time.Second,
	}
	want := host.ProcSpec{
		Name: "web-11", Program: "serve{rank}", Args: []string{"-p", "8011", "1111"}, Dir: "/w11",
		Env: []string{"D=/d11", "HYPER_RANK=11", "HYPER_SIZE=12"}, Restart: restart.Always, ReadyTimeout: time.Second,
	}
	if got := p.spec(11); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got := p.label(11); got != "web[11]" {
		t.Errorf("label %q", got)
	}
}

func TestNameOf(t *testing.T) {
	for program, want := range map[string]string{
		"sh": "sh", "/usr/bin/python3.11": "python3.11", "./my server": "my-server", "-x": "x", ".hidden": "hidden", "_": "proc", "/": "proc", ".": "proc",
		"naïve": "na-ve", strings.Repeat("x", 200): strings.Repeat("x", maxSetName), "日本": "proc",
	} {
		got := nameOf(program)
		if got != want {
			t.Errorf("nameOf(%q) = %q, want %q", program, got, want)
		}
		p := runPlan{name: got}
		if err := id.CheckName(p.procName(maxProcs - 1)); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParseBackoff(f *testing.F) {
	for _, s := range []string{"500ms..60s", "0s..0s", "1s..1s", "2s..1s", "1s", "1s..", "..", "-1s..1s", "1s...2s", "1h2m..3h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		least, most, err := parseBackoff(s)
		if err != nil {
			return
		}
		if least <= 0 || most < least {
			t.Errorf("%q is from %v to %v", s, least, most)
		}
		if a, b, err := parseBackoff(least.String() + ".." + most.String()); err != nil || a != least || b != most {
			t.Errorf("%q is %v..%v, which is %v..%v, %v", s, least, most, a, b, err)
		}
	})
}

func FuzzNameOf(f *testing.F) {
	for _, s := range []string{"sh", "", "/", "a/b", "-", "\xff", "日本", strings.Repeat("é", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := runPlan{name: nameOf(s)}
		if err := id.CheckName(p.procName(maxProcs - 1)); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}
