package torture

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// row is one fault of the list: what is done, what must hold.
type row struct {
	number int    // of the list that the rows come from
	name   string // short
	done   string // what is done
	holds  string // what must hold
	with   with   // what it is done to
	needs  need   // what the machine must have
	slow   bool   // runs with -full only
	run    func(f *fixture)

	elsewhere string // why it does not run here, if run is nil
	broken    string // what does not hold yet: it runs with -broken only
}

// with is which launchers a row runs with, once with each.
type with uint8

const (
	nothing      with = iota // it depends on none
	everyKind                // all of them
	onlyNative               // the fault cannot happen to others
	onlyKeeper               // only this one promises what must hold
	onlyIsolated             // only a keeper in a PID namespace does
	reaching                 // those that reach what has left its session
)

// need is what a row needs of the machine.
type need uint8

const (
	root      need = 1 << iota
	freezer        // a freezer of the first version that we may use
	pids           // the same for pids
	memory         // the same for memory
	unified        // a cgroup of the second version that we may use
	oneTracer      // processes may be traced
)

func rows() []row {
	all := slices.Concat(
		spawnRows(), hangRows(), shortageRows(), readyRows(), orderRows(),
		stopRows(), waitRows(), treeRows(), killedTreeRows(), thiefRows(), exitRows(),
		hostRows(), machineRows(), outputRows(), crowdRows(),
		networkRows(), systemRows(),
	)
	slices.SortStableFunc(all, func(a, b row) int { return cmp.Compare(a.number, b.number) })
	return all
}

func TestReal(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	warmUp(t)
	for _, r := range rows() {
		t.Run(fmt.Sprintf("%03d %s", r.number, r.name), func(t *testing.T) {
			switch why := r.needs.missing(); {
			case r.run == nil:
				t.Skip(r.elsewhere)
			case r.broken != "" && !*broken:
				t.Skip("does not hold yet: ", r.broken)
			case r.slow && !*full:
				t.Skip("needs -full")
			case why != "":
				t.Skip("not on this machine: ", why)
			}
			r.runWithEach(t)
		})
	}
}

func (r row) runWithEach(t *testing.T) {
	if r.with == nothing {
		r.run(newFixture(t, kind{}))
		return
	}
	for _, k := range kinds() {
		if r.with.has(k.name) {
			t.Run(k.name, func(t *testing.T) { r.run(newFixture(t, k)) })
		}
	}
}

// has reports whether a kind of launcher is meant.
func (w with) has(kind string) bool {
	switch kind {
	case "native": // reaches what is in a cgroup of its own
		return w == everyKind || w == onlyNative || w == reaching && noCgroup(v2()) == ""
	case "keeper":
		return w == everyKind || w == onlyKeeper || w == reaching
	default: // a keeper in a PID namespace
		return w == onlyIsolated || w == reaching || w == everyKind && *full
	}
}

// missing says what of the need the machine does not have.
func (n need) missing() string {
	for _, c := range []struct {
		need need
		why  func() string
	}{
		{root, notRoot},
		{freezer, func() string { return noCgroup(v1 + "freezer") }},
		{pids, func() string { return noCgroup(v1 + "pids") }},
		{memory, func() string { return noCgroup(v1 + "memory") }},
		{unified, func() string { return noCgroup(v2()) }},
		{oneTracer, noTracer},
	} {
		if n&c.need != 0 {
			if why := c.why(); why != "" {
				return why
			}
		}
	}
	return ""
}

func (n need) String() string {
	var words []string
	for i, w := range []string{"root", "cgroup v1 freezer", "cgroup v1 pids", "cgroup v1 memory", "cgroup v2", "ptrace"} {
		if n&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

func notRoot() string {
	if os.Geteuid() != 0 {
		return "needs root"
	}
	return ""
}

func noTracer() string {
	b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err == nil && os.Geteuid() != 0 && strings.TrimSpace(string(b)) != "0" {
		return "only descendants may be traced"
	}
	return ""
}

// tool returns the path of a program, or skips the row.
func (f *fixture) tool(name string) string {
	f.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		f.Skip("not on this machine: ", err)
	}
	return path
}
