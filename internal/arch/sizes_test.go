package arch

import (
	"fmt"
	"go/ast"
	"path"
)

const (
	softFileLines       = 400
	maxFileLines        = 600
	maxFuncLines        = 100
	maxInterfaceMethods = 5
)

// wideInterfaces returns the interfaces that may have more methods, each with its reason.
func wideInterfaces() map[string]string {
	return map[string]string{
		"host/ProcHandle": "it is what every manager hands out, and one thing to its users: a proc from spawn to exit",
	}
}

func checkSizes(p *pkg) []violation {
	var out []violation
	for _, f := range p.files {
		if n := f.lines(); n > maxFileLines {
			out = append(out, violation{f.path, fmt.Sprintf("%d lines, at most %d are allowed: split it", n, maxFileLines)})
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.span(fn) > maxFuncLines {
				out = append(out, violation{f.at(fn.Pos()), fmt.Sprintf("func %s has %d lines, at most %d are allowed", fn.Name.Name, f.span(fn), maxFuncLines)})
			}
		}
	}
	return append(out, interfaceSizes(p)...)
}

func interfaceSizes(p *pkg) []violation {
	local := interfacesOf(p)
	var out []violation
	for _, f := range p.files {
		name := ""
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				name = n.Name.Name
			case *ast.InterfaceType:
				if m := methods(n, local); m > maxInterfaceMethods && wideInterfaces()[path.Join(p.dir, name)] == "" {
					out = append(out, violation{f.at(n.Pos()), fmt.Sprintf("interface %s has %d methods, at most %d are allowed", name, m, maxInterfaceMethods)})
				}
			}
			return true
		})
	}
	return out
}

// interfacesOf returns the interface types that p declares, by name.
func interfacesOf(p *pkg) map[string]*ast.InterfaceType {
	local := map[string]*ast.InterfaceType{}
	for _, f := range p.files {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if i, ok := spec.Type.(*ast.InterfaceType); ok {
					local[spec.Name.Name] = i
				}
			}
			return true
		})
	}
	return local
}

// methods counts the methods of i with those of the interfaces of its own
// package that it embeds. One from another package counts as one method.
func methods(i *ast.InterfaceType, local map[string]*ast.InterfaceType) int {
	n := 0
	for _, field := range i.Methods.List {
		switch t := field.Type.(type) {
		case *ast.FuncType:
			n += len(field.Names)
		case *ast.SelectorExpr:
			n++
		case *ast.Ident:
			if inner := local[t.Name]; inner != nil {
				n += methods(inner, local)
			}
		}
	}
	return n
}
