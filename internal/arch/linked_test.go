package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// listed is what the go command says about a package.
type listed struct {
	ImportPath string
	Imports    []string
}

// TestRealLinkedPackages checks what every child process links: the rooms of
// a proc and all that they import, on each platform.
func TestRealLinkedPackages(t *testing.T) {
	pkgs, err := parseModule(os.DirFS(moduleRoot))
	if err != nil {
		t.Fatal(err)
	}
	var from []string
	for _, p := range pkgs {
		if r, ok := roomOf(p.dir); ok && r.proc && len(p.code()) > 0 {
			from = append(from, strings.TrimSuffix(modulePath+"/"+p.dir, "/."))
		}
	}
	for _, goos := range []string{"linux", "darwin"} {
		t.Run(goos, func(t *testing.T) {
			imports, err := list(t, goos, from)
			if err != nil {
				t.Fatal(err)
			}
			for _, chain := range heavy(from, imports) {
				t.Errorf("%s\n\twhy: it costs every child start time and memory", strings.Join(chain, "\n\t→ "))
			}
		})
	}
}

// list asks the go command what the packages import, directly and through others.
func list(t *testing.T, goos string, pkgs []string) (map[string][]string, error) {
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-json=ImportPath,Imports"}, pkgs...)...)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Dir = moduleRoot
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New("go list: " + err.Error() + "\n" + stderr.String())
	}
	imports := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		switch err := dec.Decode(&p); {
		case err == io.EOF:
			return imports, nil
		case err != nil:
			return nil, err
		}
		imports[p.ImportPath] = p.Imports
	}
}

// tooHeavy reports whether a package is too much for a child process.
func tooHeavy(path string) bool {
	return slices.ContainsFunc([]string{
		"net/http/...", "encoding/json/...", "text/template/...", "html/template/...", "regexp/...", "crypto/tls/...", "crypto/x509/...", "google.golang.org/...", "testing/...",
	}, func(tree string) bool { return within(path, tree) })
}

// tolerated reports whether an import of something heavy is not our doing:
// log/slog brings encoding/json for its JSON handler, and the linker leaves
// out what nobody calls.
func tolerated(from, to string) bool {
	return from == "log/slog" && to == "encoding/json"
}

// heavy returns, for each heavy package within reach, a shortest chain of
// imports that leads to it.
func heavy(from []string, imports map[string][]string) [][]string {
	var found [][]string
	seen := map[string]bool{}
	queue := make([][]string, 0, len(from))
	for _, path := range from {
		queue = append(queue, []string{path})
	}
	for len(queue) > 0 {
		chain := queue[0]
		queue = queue[1:]
		last := chain[len(chain)-1]
		if seen[last] {
			continue
		}
		seen[last] = true
		if tooHeavy(last) {
			found = append(found, chain)
			continue
		}
		for _, next := range imports[last] {
			if !tolerated(last, next) {
				queue = append(queue, append(slices.Clone(chain), next))
			}
		}
	}
	return found
}
