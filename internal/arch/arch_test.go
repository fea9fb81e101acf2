package arch

import (
	"os"
	"testing"
)

// rule is one promise of ARCHITECTURE.md that can be read off the source.
type rule struct {
	name   string
	reason string
	check  func(*pkg) []violation
}

// violation is one place that breaks a rule.
type violation struct {
	at   string // file:line, relative to the root of the module
	text string
}

// rules returns every rule, in the order of the files that hold them.
func rules() []rule {
	return []rule{
		{"direction", "imports point down the list of rooms, so that each room can be read and tested without those above it", checkDirection},
		{"modules", "a third-party module has one room that needs it, so that replacing it touches one room", checkModules},
		{"sockets", "messages travel through channel, which alone knows about order, limits and cutting a connection", checkSockets},
		{"process", "flags, environment, signals and exits belong to the program; a library that touches them surprises whoever links it", checkProcess},
		{"names", "a package named for its kind collects what nobody wants to place", checkNames},
		{"init", "code that runs on import costs every child its start time and cannot be tested or turned off", checkInit},
		{"state", "package-level state is shared by every proc in the process and by every test", checkState},
		{"sleep", "a sleep is either too short, and then flaky, or too long; wait for the event", checkSleep},
		{"sizes", "a file is one idea, a function fits a screen or two, an interface can be faked", checkSizes},
		{"package comment", "the package comment is the first thing a newcomer reads, and there is one place to look for it", checkPackageComment},
		{"docs", "what is exported is promised, and a promise is written down", checkDocs},
		{"context", "a context bounds a call; one that is stored or hidden behind other parameters bounds something nobody can name", checkContext},
		{"real tests", "tests with real processes or sockets say so in their name, so that they can be chosen or skipped", checkRealTests},
	}
}

func TestModule(t *testing.T) {
	pkgs, err := parseModule(os.DirFS(moduleRoot))
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 2 {
		t.Fatalf("found %d packages: is %s the root of the module?", len(pkgs), moduleRoot)
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, p := range pkgs {
				for _, v := range r.check(p) {
					t.Errorf("%s: %s\n\twhy: %s", v.at, v.text, r.reason)
				}
			}
		})
	}
}

// TestLongFiles never fails: it names the files that are on their way to the limit.
func TestLongFiles(t *testing.T) {
	pkgs, err := parseModule(os.DirFS(moduleRoot))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		for _, f := range p.files {
			if n := f.lines(); n > softFileLines {
				t.Logf("%s has %d lines; %d is the length to aim for", f.path, n, softFileLines)
			}
		}
	}
}
