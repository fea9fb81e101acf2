package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

const minPackageSentences = 2

func checkPackageComment(p *pkg) []violation {
	code := p.code()
	if len(code) == 0 {
		return nil
	}
	var with []*file
	for _, f := range code {
		if f.ast.Doc != nil && strings.TrimSpace(f.ast.Doc.Text()) != "" {
			with = append(with, f)
		}
	}
	switch {
	case len(with) == 0:
		return []violation{{p.dir, "no package comment"}}
	case len(with) > 1:
		var out []violation
		for _, f := range with {
			out = append(out, violation{f.at(f.ast.Package), fmt.Sprintf("one of %d package comments: keep one", len(with))})
		}
		return out
	}
	if n := sentences(with[0].ast.Doc.Text()); n < minPackageSentences {
		return []violation{{with[0].at(with[0].ast.Package), fmt.Sprintf("the package comment has %d of %d sentences: what it is, and what to know before using it", n, minPackageSentences)}}
	}
	return nil
}

// sentences counts what ends in a full stop, a question mark or an
// exclamation mark before a capital letter or the end of a paragraph.
func sentences(text string) int {
	end := regexp.MustCompile(`[.?!][)"']?(\s+["'(]?\p{Lu}|\s*\n\s*\n|\s*$)`)
	return len(end.FindAllString(text, -1))
}

func checkDocs(p *pkg) []violation {
	var out []violation
	missing := func(f *file, name *ast.Ident) {
		out = append(out, violation{f.at(name.Pos()), fmt.Sprintf("%s is exported and has no doc comment", name.Name)})
	}
	for _, f := range p.code() {
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc.Text() == "" && ast.IsExported(receiver(d)) && !speaksForItself(d) {
					missing(f, d.Name)
				}
			case *ast.GenDecl:
				for _, name := range undocumented(d) {
					missing(f, name)
				}
			}
		}
	}
	return out
}

// speaksForItself reports whether fn is a method whose meaning is that of an
// interface of the standard library.
func speaksForItself(fn *ast.FuncDecl) bool {
	return fn.Recv != nil && slices.Contains([]string{"Error", "String", "Unwrap", "Read", "Write"}, fn.Name.Name)
}

// receiver returns the name of the type that fn is a method of, or fn's own
// name if it is a plain function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := withoutTypeArguments(t).(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// undocumented returns the exported names of a declaration that nothing
// explains. The comment of a group speaks for its constants and variables,
// not for its types.
func undocumented(d *ast.GenDecl) []*ast.Ident {
	var out []*ast.Ident
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc.Text() == "" && s.Comment.Text() == "" && (d.Lparen != token.NoPos || d.Doc.Text() == "") {
				out = append(out, s.Name)
			}
		case *ast.ValueSpec:
			if s.Doc.Text() != "" || s.Comment.Text() != "" || d.Doc.Text() != "" {
				continue
			}
			for _, name := range s.Names {
				if name.IsExported() {
					out = append(out, name)
				}
			}
		}
	}
	return out
}
