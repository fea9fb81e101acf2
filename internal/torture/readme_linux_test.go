package torture

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The list stands between these lines of README.md.
const (
	listBegins = "<!-- written by go test -run TestReadme -write -->\n"
	listEnds   = "<!-- end of the list -->\n"
)

// TestReadme sees that README.md tells what the rows are.
func TestReadme(t *testing.T) {
	const path = "README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), listBegins)
	_, tail, ok2 := strings.Cut(rest, listEnds)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the list", path)
	}
	want := []byte(head + listBegins + list() + listEnds + tail)
	if bytes.Equal(text, want) {
		return
	}
	if !*writeList {
		t.Fatalf("the list in %s is not that of the rows; go test -run TestReadme -write mends it", path)
	}
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRowsAreComplete sees that every case has a row that says what is done, or why not.
func TestRowsAreComplete(t *testing.T) {
	const cases = 126
	seen := map[int]bool{}
	for _, r := range rows() {
		seen[r.number] = true
		if r.name == "" || r.holds == "" || r.done == "" || (r.run == nil) != (r.elsewhere != "") {
			t.Errorf("%d %q is not complete", r.number, r.name)
		}
	}
	for n := range cases {
		if !seen[n+1] {
			t.Errorf("case %d has no row", n+1)
		}
	}
}

// list is the table of README.md, with a count before it.
func list() string {
	var b strings.Builder
	run, cases, other, open := 0, map[int]bool{}, 0, 0
	for _, r := range rows() {
		switch {
		case r.run == nil:
			other++
			continue
		case r.broken != "":
			open++
		}
		run++
		cases[r.number] = true
	}
	fmt.Fprintf(&b, "\n%d rows run here, for %d of the 126 cases; %d of these rows do not hold yet. %d rows say why they do not run here.\n\n", run, len(cases), open, other)
	b.WriteString("| case | fault | what is done | what must hold | result |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range rows() {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", r.number, r.name, r.done, r.holds, r.result())
	}
	b.WriteString("\n")
	return b.String()
}

// result says where a row runs.
func (r row) result() string {
	if r.run == nil {
		return "not here: " + r.elsewhere
	}
	parts := []string{"holds"}
	if r.broken != "" {
		parts[0] = "**does not hold yet**: " + r.broken
	}
	switch r.with {
	case onlyNative:
		parts = append(parts, "native")
	case onlyKeeper:
		parts = append(parts, "keeper")
	case onlyIsolated:
		parts = append(parts, "keeper in a PID namespace")
	case reaching:
		parts = append(parts, "keeper, also in a PID namespace; native with cgroups")
	}
	if r.slow {
		parts = append(parts, "`-full`")
	}
	if r.needs != 0 {
		parts = append(parts, "needs "+r.needs.String())
	}
	return strings.Join(parts, "; ")
}
