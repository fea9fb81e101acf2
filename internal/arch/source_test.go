package arch

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	modulePath = "github.com/hyperactor/hyperactor"
	moduleRoot = "../.." // from the directory of this package, where its tests run
)

// pkg is the source of one directory: the package, its tests, and the files
// of every platform.
type pkg struct {
	dir   string // relative to the root of the module; "." is the front door
	files []*file
}

// file is one parsed source file.
type file struct {
	path    string // relative to the root of the module
	test    bool
	fset    *token.FileSet
	ast     *ast.File
	imports map[string]string // the name in this file → the path
}

// parseModule reads every package below the root, except nested modules and
// the directories that the go command ignores.
func parseModule(root fs.FS) ([]*pkg, error) {
	sources := map[string]string{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && skipDir(root, name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_"):
			return nil
		}
		b, err := fs.ReadFile(root, name)
		sources[name] = string(b)
		return err
	})
	if err != nil {
		return nil, err
	}
	return parseSources(sources)
}

func skipDir(root fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	return !errors.Is(err, fs.ErrNotExist)
}

// parseSources makes packages of files given by path and text.
func parseSources(sources map[string]string) ([]*pkg, error) {
	byDir := map[string]*pkg{}
	for name, text := range sources {
		f, err := parseFile(name, text)
		if err != nil {
			return nil, err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
		}
		byDir[dir].files = append(byDir[dir].files, f)
	}
	var pkgs []*pkg
	for _, p := range byDir {
		slices.SortFunc(p.files, func(a, b *file) int { return cmp.Compare(a.path, b.path) })
		pkgs = append(pkgs, p)
	}
	slices.SortFunc(pkgs, func(a, b *pkg) int { return cmp.Compare(a.dir, b.dir) })
	return pkgs, nil
}

func parseFile(name, text string) (*file, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f := &file{path: name, test: strings.HasSuffix(name, "_test.go"), fset: fset, ast: tree, imports: map[string]string{}}
	for _, spec := range tree.Imports {
		f.imports[importName(spec)] = importPath(spec)
	}
	return f, nil
}

func importPath(spec *ast.ImportSpec) string {
	s, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic(fmt.Sprintf("the parser let an import pass that is no string: %s", spec.Path.Value))
	}
	return s
}

// importName returns the name under which a file sees an import. Without an
// explicit name that is the last element of the path, leaving out a version.
func importName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	p := importPath(spec)
	base := path.Base(p)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(p))
	}
	return base
}

func (f *file) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(pos).Line)
}

func (f *file) lines() int { return f.fset.File(f.ast.FileStart).LineCount() }

// span returns how many lines n takes.
func (f *file) span(n ast.Node) int {
	return f.fset.Position(n.End()).Line - f.fset.Position(n.Pos()).Line + 1
}

// qualified returns "path.Name" if e is a name of an imported package, else
// "". A local variable that hides the package is taken for the package; the
// cure is not to hide it.
func (f *file) qualified(e ast.Expr) string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || f.imports[x.Name] == "" {
		return ""
	}
	return f.imports[x.Name] + "." + sel.Sel.Name
}

// uses calls yield for each use of an imported package's name.
func (f *file) uses(yield func(name string, pos token.Pos)) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if e, ok := n.(*ast.SelectorExpr); ok {
			if name := f.qualified(e); name != "" {
				yield(name, e.Pos())
			}
		}
		return true
	})
}

// code returns the files of p that are not tests.
func (p *pkg) code() []*file {
	return slices.DeleteFunc(slices.Clone(p.files), func(f *file) bool { return f.test })
}
