package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

func checkNames(p *pkg) []violation {
	bad := []string{"util", "utils", "common", "types", "models", "helper", "helpers", "base", "misc"}
	for _, f := range p.files {
		for _, name := range []string{path.Base(p.dir), strings.TrimSuffix(f.ast.Name.Name, "_test")} {
			if slices.Contains(bad, name) {
				return []violation{{f.at(f.ast.Package), fmt.Sprintf("a package may not be called %s: name it for what it does", name)}}
			}
		}
	}
	return nil
}

// initExceptions are the packages that have a reason for an init function.
func initExceptions() []exception {
	return []exception{
		{dir: "launch/keeper", reason: "a process that was started as guard or keeper is one before the rest of the program is initialised, on the first thread, which package runtime promises to init functions"},
	}
}

func checkInit(p *pkg) []violation {
	var out []violation
	if slices.ContainsFunc(initExceptions(), func(e exception) bool { return e.dir == p.dir }) {
		return nil
	}
	for _, f := range p.files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				out = append(out, violation{f.at(fn.Pos()), "no init functions: do it where it is needed, or in TestMain"})
			}
		}
	}
	return out
}

func checkState(p *pkg) []violation {
	var out []violation
	for _, f := range p.code() {
		for _, d := range f.ast.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR || embedded(decl.Doc) {
				continue
			}
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				if embedded(spec.Doc) {
					continue
				}
				for i, name := range spec.Names {
					if !constant(f, p.dir, name.Name, valueAt(spec, i)) {
						out = append(out, violation{f.at(name.Pos()), fmt.Sprintf("package variable %s: make it a constant, a switch, a field or a sync.OnceValue", name.Name)})
					}
				}
			}
		}
	}
	return out
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// valueAt returns the expression that initializes the i-th name, or nil.
func valueAt(spec *ast.ValueSpec, i int) ast.Expr {
	if len(spec.Values) != len(spec.Names) {
		return nil
	}
	return spec.Values[i]
}

// constant reports whether a package variable is one in name only: nobody has
// a reason to assign to it and what it holds does not change.
func constant(f *file, dir, name string, value ast.Expr) bool {
	if name == "_" {
		return true // an assertion that a type has some methods
	}
	if errorName(name) && errorValue(value) {
		return true
	}
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	fn := withoutTypeArguments(call.Fun)
	made := f.qualified(fn)
	if id, ok := fn.(*ast.Ident); ok && dir == "actor" {
		made = modulePath + "/actor." + id.Name // package actor declares methods of its own
	}
	switch made {
	case "sync.OnceValue", "sync.OnceValues",
		modulePath + "/actor.On", modulePath + "/actor.OnSend", modulePath + "/actor.OnDefer", modulePath + "/actor.Define":
		return true
	}
	return false
}

func errorName(name string) bool {
	rest, ok := strings.CutPrefix(name, "Err")
	if !ok {
		rest, ok = strings.CutPrefix(name, "err")
	}
	first, _ := utf8.DecodeRuneInString(rest)
	return ok && unicode.IsUpper(first)
}

// errorValue reports whether e makes an error: a call other than new and
// make, or a composite literal that is not a map or a slice.
func errorValue(e ast.Expr) bool {
	if addr, ok := e.(*ast.UnaryExpr); ok && addr.Op == token.AND {
		e = addr.X
	}
	switch e := e.(type) {
	case *ast.CallExpr:
		id, ok := e.Fun.(*ast.Ident)
		return !ok || id.Name != "new" && id.Name != "make"
	case *ast.CompositeLit:
		switch e.Type.(type) {
		case *ast.Ident, *ast.SelectorExpr:
			return true
		}
	}
	return false
}

func withoutTypeArguments(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.IndexExpr:
		return e.X
	case *ast.IndexListExpr:
		return e.X
	}
	return e
}

// contextFields returns the structs that may hold a context, each with its reason.
func contextFields() map[string]string {
	return map[string]string{
		"actor/Proc":    "its own lifetime, which bounds what it sends on nobody's behalf: answers, returned messages",
		"actor/outside": "it is a context itself: its parent",
		"actor/span":    "that of one handler, between two hooks that are told of it: a panic is told of, too",
	}
}

func checkContext(p *pkg) []violation {
	var out []violation
	for _, f := range p.files {
		owner := "" // the type declaration around a struct
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				owner = path.Join(p.dir, n.Name.Name)
			case *ast.StructType:
				if contextFields()[owner] == "" {
					out = append(out, contextsIn(f, n)...)
				}
			case *ast.FuncDecl:
				out = append(out, lateContext(f, n.Type)...)
			case *ast.InterfaceType:
				for _, m := range n.Methods.List {
					out = append(out, lateContext(f, m.Type)...)
				}
			}
			return true
		})
	}
	return out
}

func contextsIn(f *file, s *ast.StructType) []violation {
	var out []violation
	for _, field := range s.Fields.List {
		if f.qualified(field.Type) == "context.Context" {
			out = append(out, violation{f.at(field.Pos()), "a context in a struct: pass it to the call that it bounds; what has a lifetime has a Close and a Wait"})
		}
	}
	return out
}

// lateContext finds a context that has other parameters before it in a
// declared function or method. A test's own *testing.T may stand first. Other
// function types are left alone: in a method expression the receiver is first.
func lateContext(f *file, e ast.Expr) []violation {
	fn, ok := e.(*ast.FuncType)
	if !ok {
		return nil // embedded in an interface
	}
	before := 0
	for _, param := range fn.Params.List {
		if f.qualified(param.Type) == "context.Context" && (before > 0 || len(param.Names) > 1) {
			return []violation{{f.at(param.Pos()), "ctx is the first parameter"}}
		}
		if !forTests(f, param.Type) {
			before++
		}
	}
	return nil
}

func forTests(f *file, e ast.Expr) bool {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	switch f.qualified(e) {
	case "testing.T", "testing.B", "testing.F", "testing.TB", "pgregory.net/rapid.T":
		return true
	}
	return false
}
