package arch

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// sample is a small source and what a rule says about it: a part of the one
// violation that is expected, or "" if the source keeps the rule.
type sample struct {
	rule  string
	path  string
	body  string // after the package clause
	fault string
}

func TestRules(t *testing.T) {
	samples := slices.Concat(importSamples(), processSamples(), stateSamples(), shapeSamples())
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			broken, kept := 0, 0
			for _, s := range samples {
				if s.rule != r.name {
					continue
				}
				if s.fault == "" {
					kept++
				} else {
					broken++
				}
				s.test(t, r)
			}
			if broken == 0 || kept == 0 {
				t.Errorf("%d samples break the rule and %d keep it, want some of each", broken, kept)
			}
		})
	}
	for _, s := range samples {
		if !slices.ContainsFunc(rules(), func(r rule) bool { return r.name == s.rule }) {
			t.Errorf("a sample is for a rule %q that does not exist", s.rule)
		}
	}
}

func (s sample) test(t *testing.T, r rule) {
	t.Helper()
	pkgs, err := parseSources(map[string]string{s.path: "package p\n" + s.body})
	if err != nil {
		t.Fatal(err)
	}
	got := r.check(pkgs[0])
	switch {
	case s.fault == "" && len(got) > 0:
		t.Errorf("%s:\n%s\ngot %v, want nothing", s.path, s.body, got)
	case s.fault != "" && (len(got) != 1 || !strings.Contains(got[0].text, s.fault)):
		t.Errorf("%s:\n%s\ngot %v, want one violation with %q", s.path, s.body, got, s.fault)
	}
}

func importSamples() []sample {
	ours := func(dir string) string { return `import _ "` + modulePath + "/" + dir + `"` }
	return []sample{
		{"direction", "gateway/a.go", ours("wire"), ""},
		{"direction", "cmd/hyper/a.go", ours("host/osproc"), ""},
		{"direction", "examples/counter/a.go", `import _ "` + modulePath + `"`, ""},
		{"direction", "examples/counter/main/a.go", ours("examples/counter"), ""},
		{"direction", "wire/a_test.go", ours("host"), ""},
		{"direction", "wire/a.go", ours("gateway"), "wire may not import gateway"},
		{"direction", "launch/a.go", ours("actor"), "launch may not import actor"},
		{"direction", "host/a.go", ours("host/osproc"), "may not import"},
		{"direction", "actor/a.go", `import _ "` + modulePath + `"`, "may not import ."},
		{"direction", "wire/a_test.go", ours("cmd/hyper"), "may not import cmd"},
		{"direction", "attic/a.go", "", "say where it stands in ARCHITECTURE.md and here"},

		{"modules", "wire/a.go", `import "github.com/fxamacker/cbor/v2"`, ""},
		{"modules", "launch/native/a.go", `import "golang.org/x/sys/unix"`, ""},
		{"modules", "id/a_test.go", `import "pgregory.net/rapid"`, ""},
		{"modules", "host/probe/grpcprobe/a.go", `import "google.golang.org/grpc/health/grpc_health_v1"`, ""},
		{"modules", "host/probe/a.go", `import "google.golang.org/grpc"`, "host/probe may not import"},
		{"modules", "actor/a.go", `import "github.com/fxamacker/cbor/v2"`, "actor may not import"},
		{"modules", "host/a.go", `import "golang.org/x/sys/unix"`, "host may not import"},
		{"modules", "channel/a.go", `import "golang.org/x/term"`, "channel may not import"},
		{"modules", "host/hosttest/a.go", `import "pgregory.net/rapid"`, "may not import"},
		{"modules", "id/a_test.go", `import "github.com/stretchr/testify/assert"`, "not a module"},
		{"modules", "id/a.go", `import . "fmt"`, "dot import"},
		{"modules", "id/a.go", `import "C"`, "cgo"},

		{"sockets", "channel/a.go", `import "net"`, ""},
		{"sockets", "gateway/a_test.go", `import "net"`, ""},
		{"sockets", "host/probe/httpprobe/a.go", `import "net/http"`, ""},
		{"sockets", "gateway/a.go", `import "net/netip"`, ""},
		{"sockets", "gateway/a.go", "import \"net\"\nvar c net.Conn", ""},
		{"sockets", "gateway/a.go", "import \"net\"\nvar c, err = net.Dial(\"tcp\", \"\")", "gateway may not import net"},
		{"sockets", "actor/a.go", `import "net"`, "actor may not import net"},
		{"sockets", "host/osproc/a.go", `import "crypto/tls"`, "may not import crypto/tls"},
	}
}

func processSamples() []sample {
	use := func(path, name string) string { return "import \"" + path + "\"\nvar _ = " + name }
	return []sample{
		{"process", "a.go", use("os", "os.Args"), ""},
		{"process", "cmd/hyper/a.go", use("flag", "flag.Parse"), ""},
		{"process", "actor/a_test.go", use("os", "os.Exit"), ""},
		{"process", "launch/a.go", use("os", "os.Args[0]"), ""},
		{"process", "host/osproc/a.go", use("os", "os.Environ"), ""},
		{"process", "actor/a.go", use("os", "os.Getpid"), ""},
		{"process", "actor/a.go", use("os", "os.Exit"), "actor may not use os.Exit"},
		{"process", "actor/a.go", "import other \"os\"\nvar _ = other.LookupEnv", "os.LookupEnv"},
		{"process", "actor/a.go", `import "flag"`, "may not use flag"},
		{"process", "host/a.go", `import "os/signal"`, "may not use os/signal"},
		{"process", "host/osproc/a.go", use("os", "os.Exit"), "os.Exit"},
		{"process", "launch/a.go", use("os", "os.Getenv"), "os.Getenv"},
		{"process", "gateway/a.go", use("log", "log.Fatal"), "log.Fatal"},

		{"sleep", "actor/a.go", use("time", "time.After"), ""},
		{"sleep", "actor/a.go", use("time", "time.Sleep"), "time.Sleep"},
		{"sleep", "actor/a_test.go", use("time", "time.Sleep"), "time.Sleep"},

		{"real tests", "host/a_test.go", "import _ \"os/exec\"\nfunc TestRealKill() {}\nfunc TestMain() {}\nfunc Testify() {}", ""},
		{"real tests", "host/a_test.go", "func TestKill() {}", ""},
		{"real tests", "host/a.go", "import _ \"os/exec\"\nfunc TestKill() {}", ""},
		{"real tests", "host/a_test.go", "import _ \"os/exec\"\nfunc TestKill() {}", "TestRealKill"},
		{"real tests", "channel/a_test.go", "import \"net\"\nvar _ = net.Listen\nfunc BenchmarkSend() {}", "BenchmarkRealSend"},
	}
}

func stateSamples() []sample {
	return []sample{
		{"names", "launch/a.go", "", ""},
		{"names", "internal/util/a.go", "", "called util"},
		{"names", "types/a_test.go", "", "called types"},

		{"init", "actor/a.go", "type T int\nfunc (T) init() {}", ""},
		{"init", "actor/a.go", "func init() {}", "no init"},
		{"init", "actor/a_test.go", "func init() {}", "no init"},

		{"state", "wire/a.go", "import \"errors\"\nvar ErrA, errB = errors.New(\"a\"), errors.New(\"b\")", ""},
		{"state", "wire/a.go", "var ErrA error = &Error{Code: 1}\nvar ErrC = Code(3)", ""},
		{"state", "wire/a.go", "var _ I = (*T)(nil)", ""},
		{"state", "wire/a.go", "import \"sync\"\nvar mode = sync.OnceValue[int](f)", ""},
		{"state", "actor/a.go", "var stop = OnSend(\"actor.stop\", Agent.Stop)", ""},
		{"state", "host/a.go", "import \"" + modulePath + "/actor\"\nvar Stop = actor.On[A, B, C](\"host.stop\", Agent.Stop)", ""},
		{"state", "cmd/hyper/a.go", "import _ \"embed\"\n//go:embed page.html\nvar page string", ""},
		{"state", "wire/a_test.go", "var n int", ""},
		{"state", "wire/a.go", "var n int", "package variable n"},
		{"state", "wire/a.go", "var names = map[int]string{}", "package variable names"},
		{"state", "wire/a.go", "var errCount = 0", "package variable errCount"},
		{"state", "wire/a.go", "var errSeen = make(map[string]bool)", "package variable errSeen"},
		{"state", "wire/a.go", "import \"errors\"\nvar broken = errors.New(\"a\")", "package variable broken"},
		{"state", "host/a.go", "var stop = OnSend(\"actor.stop\", Agent.Stop)", "package variable stop"},
		{"state", "cmd/hyper/a.go", "import \"sync\"\nvar pool = sync.Pool{}", "package variable pool"},

		{"context", "host/a.go", "import \"context\"\nfunc f(ctx context.Context, n int) {}\ntype s struct{ f func(context.Context) }", ""},
		{"context", "actor/a.go", "import \"context\"\nfunc On[A any](f func(A, context.Context)) {}\nvar _ = func(a A, ctx context.Context) {}", ""},
		{"context", "host/a_test.go", "import (\"context\"; \"testing\")\nfunc f(t *testing.T, ctx context.Context) {}", ""},
		{"context", "host/a.go", "import \"context\"\ntype s struct{ ctx context.Context }", "context in a struct"},
		{"context", "host/a.go", "import \"context\"\nfunc f() { _ = struct{ context.Context }{} }", "context in a struct"},
		{"context", "host/a.go", "import \"context\"\nfunc f(n int, ctx context.Context) {}", "first parameter"},
		{"context", "host/a.go", "import \"context\"\ntype i interface{ M(n int, ctx context.Context) }", "first parameter"},
	}
}

func shapeSamples() []sample {
	lines := func(n int) string { return strings.Repeat("\n", n) }
	five := "A(); B(); C(); D(); E()"
	return []sample{
		{"sizes", "host/a.go", lines(maxFileLines - 1), ""},
		{"sizes", "host/a.go", "func f() {" + lines(maxFuncLines-1) + "}", ""},
		{"sizes", "host/a.go", "type I interface{ " + five + " }\ntype N interface{ ~int | ~string }", ""},
		{"sizes", "host/a.go", "type ProcHandle interface{ " + five + "; F() }", ""},
		{"sizes", "host/a.go", lines(maxFileLines-1) + "//", "601 lines"},
		{"sizes", "host/a.go", "func f() {" + lines(maxFuncLines) + "}", "func f has 101 lines"},
		{"sizes", "host/a.go", "type I interface{ " + five + "; F() }", "interface I has 6 methods"},
		{"sizes", "host/a.go", "type I interface{ " + five + "}\ntype J interface{ I; F() }", "interface J has 6 methods"},
		{"sizes", "actor/a.go", "func f(x interface{ " + five + "; F() }) {}", "has 6 methods"},

		{"docs", "host/a.go", "// A is.\nfunc A() {}\n// B are.\nconst (\nB = 1\nC = 2\n)\nconst (\nD = 1 // D is.\n)", ""},
		{"docs", "host/a.go", "type t int\nfunc (t) String() string { return \"\" }\nfunc f() {}", ""},
		{"docs", "host/a_test.go", "func A() {}", ""},
		{"docs", "host/a.go", "// T is.\ntype T int\nfunc (T) Error() string { return \"\" }", ""},
		{"docs", "host/a.go", "func Error() {}", "Error is exported"},
		{"docs", "host/a.go", "func A() {}", "A is exported"},
		{"docs", "host/a.go", "// T is.\ntype T[A any] int\nfunc (t *T[A]) M() {}", "M is exported"},
		{"docs", "host/a.go", "// T and U are.\ntype (\nT int\n)", "T is exported"},
		{"docs", "host/a.go", "var ErrA = f()", "ErrA is exported"},
		{"docs", "host/a.go", "//go:noinline\nfunc A() {}", "A is exported"},

		{"package comment", "host/a_test.go", "", ""},
		{"package comment", "host/a.go", "", "no package comment"},
	}
}

func TestPackageComment(t *testing.T) {
	const good = "// Package p is. It does.\npackage p\n"
	for name, test := range map[string]struct {
		a, b string
		want int
	}{
		"one":            {good, "package p\n", 0},
		"two":            {good, good, 2},
		"none":           {"package p\n", "// A note.\n\npackage p\n", 1},
		"one sentence":   {"// Package p is v1.2 of it.\npackage p\n", "package p\n", 1},
		"question":       {"// Package p?\n//\n//\tcode\n//\n// It does.\npackage p\n", "package p\n", 0},
		"only build tag": {"//go:build linux\n\npackage p\n", "package p\n", 1},
	} {
		pkgs, err := parseSources(map[string]string{"p/a.go": test.a, "p/b.go": test.b})
		if err != nil {
			t.Fatal(err)
		}
		if got := checkPackageComment(pkgs[0]); len(got) != test.want {
			t.Errorf("%s: got %v, want %d violations", name, got, test.want)
		}
	}
}

func TestParseModuleSkipsWhatIsNotOfTheModule(t *testing.T) {
	source := func() *fstest.MapFile { return &fstest.MapFile{Data: []byte("package p\n")} }
	pkgs, err := parseModule(fstest.MapFS{
		"go.mod":            {},
		"a.go":              source(),
		"a_test.go":         source(),
		"b/c/a_darwin.go":   source(),
		"b/testdata/a.go":   source(),
		"b/_old/a.go":       source(),
		"b/_a.go":           source(),
		".tools/a.go":       source(),
		"bench/go.mod":      {},
		"bench/inside/a.go": source(),
		"b/notes.txt":       {},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pkgs {
		for _, f := range p.files {
			got = append(got, f.path)
		}
	}
	if want := []string{"a.go", "a_test.go", "b/c/a_darwin.go"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestRooms checks the tables themselves: what they name is a room.
func TestRooms(t *testing.T) {
	for i, r := range rooms() {
		if slices.Contains(r.reaches(), r.dir) {
			t.Errorf("%s may import itself through others", r.dir)
		}
		if found, _ := roomOf(strings.TrimSuffix(r.dir, "/...")); found.dir != rooms()[i].dir {
			t.Errorf("%s is taken for %s", r.dir, found.dir)
		}
		for _, below := range r.reaches() {
			if other, _ := roomOf(below); r.proc && !other.proc {
				t.Errorf("%s is linked into every proc and may import %s, which is not", r.dir, below)
			}
		}
	}
	for _, e := range processExceptions() {
		if _, ok := roomOf(e.dir); !ok || e.reason == "" {
			t.Errorf("exception %+v: want a room and a reason", e)
		}
	}
}

func TestHeavyNamesTheChain(t *testing.T) {
	got := heavy([]string{"a"}, map[string][]string{
		"a":        {"b", "log/slog"},
		"b":        {"fmt", "net/http/internal"},
		"log/slog": {"encoding/json"},
	})
	want := [][]string{{"a", "b", "net/http/internal"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}
