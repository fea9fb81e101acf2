package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// room is a line of the list in ARCHITECTURE.md.
type room struct {
	dir  string   // relative to the root; "x/..." is x and all below it
	may  []string // rooms it may import, and with them what those may import
	proc bool     // linked into every child process
}

// rooms returns the house, from the ground up.
func rooms() []room {
	return []room{
		{dir: "id", proc: true},
		{dir: "wire", may: []string{"id"}, proc: true},
		{dir: "channel/internal/...", proc: true},
		{dir: "channel", may: []string{"channel/internal/...", "wire"}, proc: true},
		{dir: "authority", may: []string{"id"}}, // with channel/mtls: only who asks for TLS links it
		{dir: "channel/mtls", may: []string{"channel", "authority"}},
		{dir: "gateway", may: []string{"channel"}, proc: true},
		{dir: "restart", proc: true},
		{dir: "actor", may: []string{"gateway", "restart"}, proc: true},
		{dir: "actor/actortest", may: []string{"actor", "internal/memnet"}},
		{dir: "launch", may: []string{"id"}, proc: true}, // knows no actors
		{dir: "launch/internal/...", may: []string{"launch"}, proc: true},
		{dir: "launch/capture", may: []string{"launch"}, proc: true},
		{dir: "launch/native", may: []string{"launch/internal/..."}, proc: true},
		{dir: "launch/keeper", may: []string{"launch/internal/...", "wire"}, proc: true},
		{dir: "launch/launchtest", may: []string{"launch", "internal/versus"}},
		{dir: "host", may: []string{"actor", "launch/capture"}, proc: true},
		{dir: "host/localproc", may: []string{"host"}, proc: true},
		{dir: "internal/handshake", may: []string{"channel"}, proc: true},
		{dir: "host/osproc", may: []string{"host", "internal/handshake"}, proc: true},
		{dir: "host/probe", may: []string{"launch"}}, // only the side that asks links it: no child
		{dir: "host/probe/httpprobe", may: []string{"host/probe"}},
		{dir: "host/probe/grpcprobe", may: []string{"host/probe"}},
		{dir: "host/cmdproc", may: []string{"host", "host/probe"}}, // only who runs commands links it
		{dir: "host/hosttest", may: []string{"host", "actor/actortest", "launch/launchtest"}},
		{dir: ".", may: []string{"host/localproc", "host/osproc", "launch/native", "launch/keeper", "internal/floor"}, proc: true},
		{dir: "cmd/...", may: []string{".", "channel/mtls", "host/cmdproc", "host/probe/httpprobe", "host/probe/grpcprobe", "launch/capture"}},
		{dir: "examples/...", may: []string{".", "channel/mtls", "host/cmdproc"}},
		{dir: "internal/cable"},
		{dir: "internal/floor", proc: true},
		{dir: "internal/memnet"},
		{dir: "internal/sim"},
		{dir: "internal/torture"},
		{dir: "internal/versus"},
		{dir: "internal/arch"},
	}
}

// thirdParty returns who may import which module. Test files may import all
// of them; rapid is for tests only.
func thirdParty() map[string][]string {
	return map[string][]string{
		"github.com/fxamacker/cbor/v2":    {"wire"},
		"github.com/klauspost/compress":   {"launch/capture"},
		"github.com/rogpeppe/go-internal": nil, // testscript
		"golang.org/x/sys":                {"channel", "channel/internal/...", "launch/...", "host/osproc", "host/hosttest", "internal/cable", "cmd/..."},
		"golang.org/x/term":               {"cmd/..."},
		"google.golang.org/grpc":          {"host/probe/grpcprobe"},
		"pgregory.net/rapid":              nil,
	}
}

// within reports whether dir is the room or, for "x/...", below it.
func within(dir, room string) bool {
	base, tree := strings.CutSuffix(room, "/...")
	return dir == base || tree && strings.HasPrefix(dir, base+"/")
}

// isIn reports whether dir is in one of the rooms.
func isIn(dir string, rooms ...string) bool {
	return slices.ContainsFunc(rooms, func(r string) bool { return within(dir, r) })
}

func roomOf(dir string) (room, bool) {
	all := rooms()
	i := slices.IndexFunc(all, func(r room) bool { return within(dir, r.dir) })
	if i < 0 {
		return room{}, false
	}
	return all[i], true
}

// reaches returns the rooms that r may import, directly and through others.
func (r room) reaches() []string {
	var all []string
	for _, dir := range r.may {
		below, ok := roomOf(dir)
		if !ok {
			panic(fmt.Sprintf("room %s may import %s, which is not in the table", r.dir, dir))
		}
		all = append(append(all, dir), below.reaches()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func checkDirection(p *pkg) []violation {
	r, ok := roomOf(p.dir)
	if !ok {
		return []violation{{p.dir, "this package is not in the table of rooms: say where it stands in ARCHITECTURE.md and here (internal/arch/rooms_test.go)"}}
	}
	var out []violation
	for _, f := range p.files {
		for _, spec := range f.ast.Imports {
			dir, ours := projectDir(importPath(spec))
			if !ours || within(dir, r.dir) {
				continue
			}
			if f.test && !isIn(dir, "cmd/...") {
				continue
			}
			if !f.test && isIn(dir, r.reaches()...) {
				continue
			}
			out = append(out, violation{f.at(spec.Pos()), fmt.Sprintf("%s may not import %s; it may import %v", p.dir, dir, r.reaches())})
		}
	}
	return out
}

// projectDir returns the directory of a package of this module.
func projectDir(importPath string) (dir string, ok bool) {
	if importPath == modulePath {
		return ".", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

func checkModules(p *pkg) []violation {
	var out []violation
	for _, f := range p.files {
		for _, spec := range f.ast.Imports {
			if text := moduleFault(p.dir, f.test, importName(spec), importPath(spec)); text != "" {
				out = append(out, violation{f.at(spec.Pos()), text})
			}
		}
	}
	return out
}

// moduleFault says what is wrong with importing path into dir, or "".
func moduleFault(dir string, test bool, name, path string) string {
	first, _, _ := strings.Cut(path, "/")
	_, ours := projectDir(path)
	switch {
	case name == ".":
		return fmt.Sprintf("a dot import of %s hides from readers and from these rules what is used", path)
	case path == "C":
		return "the project builds without cgo"
	case ours || !strings.Contains(first, "."):
		return ""
	}
	for module, allowed := range thirdParty() {
		if !within(path, module+"/...") {
			continue
		}
		if test || isIn(dir, allowed...) {
			return ""
		}
		return fmt.Sprintf("%s may not import %s; outside tests only %v may", dir, path, allowed)
	}
	return fmt.Sprintf("%s is not a module this project has agreed on", path)
}

func checkSockets(p *pkg) []violation {
	if isIn(p.dir, "channel", "channel/mtls", "internal/memnet", "host/probe/...", "cmd/...", "examples/...") {
		return nil
	}
	var out []violation
	for _, f := range p.code() {
		for _, spec := range f.ast.Imports {
			switch path := importPath(spec); path {
			case "net", "crypto/tls", "net/http", "net/rpc", "net/smtp":
				if path == "net" && p.dir == "gateway" && !opensSockets(f) {
					continue // it accepts connections from what channel listens on, and has to name their types
				}
				out = append(out, violation{f.at(spec.Pos()), fmt.Sprintf("%s may not import %s; only channel opens sockets", p.dir, path)})
			}
		}
	}
	return out
}

// opensSockets reports whether f uses what package net opens sockets with.
func opensSockets(f *file) bool {
	found := false
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "net" {
			found = found || strings.HasPrefix(sel.Sel.Name, "Dial") || strings.HasPrefix(sel.Sel.Name, "Listen") && sel.Sel.Name != "Listener"
		}
		return true
	})
	return found
}
