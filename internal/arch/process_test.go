package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// exception lets one room use some of what is reserved for programs.
type exception struct {
	dir    string
	names  []string // imported names, or paths of packages
	reason string
}

func processExceptions() []exception {
	reexec := "it runs the test binary again as a child and is that child"
	all := []string{"os.Args", "os.Exit", "os.Getenv", "os.LookupEnv", "os.Environ", "os.Setenv", "os.Unsetenv", "os/signal"}
	return []exception{
		{"launch", []string{"os.Args"}, "a child that runs our own image (launch.Self) is given our argv0"},
		{"host/osproc", []string{"os.Getenv", "os.LookupEnv", "os.Unsetenv", "os.Environ"}, "it builds a child's environment, and the child reads and clears the bootstrap variable"},
		{"host/cmdproc", []string{"os.Environ"}, "it builds the environment of commands"},
		{"launch/keeper", []string{"os.Getenv", "os.LookupEnv", "os.Unsetenv", "os.Environ", "os.Args", "os.Exit", "os/signal"}, "guard and keeper read and clear their bootstrap variable, outlive the terminal's signals, learn of orphans by SIGCHLD, and end before the program's main begins"},
		{"launch/launchtest", all, reexec},
		{"host/hosttest", all, reexec},
	}
}

// programName reports whether name is reserved for programs.
func programName(name string) bool {
	switch name {
	case "os.Args", "os.Exit", "syscall.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln",
		"os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "os.Setenv", "os.Unsetenv", "os.Clearenv",
		"syscall.Getenv", "syscall.Environ", "syscall.Setenv", "syscall.Unsetenv", "syscall.Clearenv":
		return true
	}
	return false
}

func checkProcess(p *pkg) []violation {
	if isIn(p.dir, ".", "cmd/...", "examples/...") {
		return nil
	}
	var out []violation
	report := func(f *file, pos token.Pos, name string) {
		excepted := slices.ContainsFunc(processExceptions(), func(e exception) bool {
			return e.dir == p.dir && slices.Contains(e.names, name)
		})
		if !excepted {
			out = append(out, violation{f.at(pos), fmt.Sprintf("%s may not use %s; only the front door, cmd and examples may", p.dir, name)})
		}
	}
	for _, f := range p.code() {
		for _, spec := range f.ast.Imports {
			if path := importPath(spec); path == "flag" || path == "os/signal" {
				report(f, spec.Pos(), path)
			}
		}
		f.uses(func(name string, pos token.Pos) {
			if programName(name) {
				report(f, pos, name)
			}
		})
	}
	return out
}

// sleepers returns the files that may sleep, each with its reason.
func sleepers() map[string]string {
	return map[string]string{}
}

func checkSleep(p *pkg) []violation {
	var out []violation
	for _, f := range p.files {
		if sleepers()[f.path] != "" {
			continue
		}
		f.uses(func(name string, pos token.Pos) {
			if name == "time.Sleep" {
				out = append(out, violation{f.at(pos), "time.Sleep: wait for what is awaited; a helper that only has to stay alive blocks with select {}"})
			}
		})
	}
	return out
}

func checkRealTests(p *pkg) []violation {
	var out []violation
	for _, f := range p.files {
		what := realThing(f)
		if !f.test || what == "" {
			continue
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || fn.Name.Name == "TestMain" {
				continue
			}
			name := fn.Name.Name
			for _, kind := range []string{"Test", "Benchmark"} {
				if rest, ok := strings.CutPrefix(name, kind); ok && testSuffix(rest) && !strings.HasPrefix(rest, "Real") {
					out = append(out, violation{f.at(fn.Pos()), fmt.Sprintf("this file uses %s: call the test %sReal%s or move it to another file", what, kind, rest)})
				}
			}
		}
	}
	return out
}

// testSuffix reports whether the go command takes a name with this rest after
// "Test" for a test.
func testSuffix(rest string) bool {
	return rest == "" || rest[0] < 'a' || rest[0] > 'z'
}

// realThing returns what makes f a file about real processes or sockets, or "".
func realThing(f *file) string {
	for _, path := range f.imports {
		if path == "os/exec" {
			return path
		}
	}
	var what string
	f.uses(func(name string, _ token.Pos) {
		switch name {
		case "net.Listen", "net.ListenTCP", "net.ListenUnix", "net.ListenPacket", "net.Dial", "net.DialTimeout", "os.StartProcess":
			what = name
		}
	})
	return what
}
