package actor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The compiler checks messages: this actor, this request, this reply (promise
// 8). Each snippet has one mistake in the line that is marked, except the
// first, which has none.
const snippet = `package snippet

import (
	"context"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
)

type Counter struct{ n int }
type Printer struct{}
type Params struct{ Start int }

func New(ctx context.Context, p Params) (*Counter, error)        { return &Counter{n: p.Start}, nil }
func (c *Counter) Add(ctx context.Context, n int) (int, error)   { return c.n, nil }
func (p *Printer) Print(ctx context.Context, s string) error     { return nil }

type Adder interface{ Add(ctx context.Context, n int) (int, error) }

var (
	Add   = actor.On("counter.add", (*Counter).Add)
	Print = actor.OnSend("printer.print", (*Printer).Print)
	AddTo = actor.On("adder.add", Adder.Add)
	Type  = actor.Define("counter", New, Add)
)

func use(ctx context.Context, p id.Proc, counter actor.Ref[*Counter], printer actor.Ref[*Printer], port actor.Port[string]) {
	var n int
	var err error
	%s // the line
	_, _ = n, err
}

%s
`

func TestRealCompilerChecksMessages(t *testing.T) {
	tests := []struct{ name, line, more, want string }{
		{"none", `n, err = Add.Call(ctx, counter, 2)`, ``, ``},
		{"actor", `n, err = Add.Call(ctx, printer, 2)`, ``, `actor.Ref[*Printer]`},
		{"request", `err = Add.Send(ctx, counter, "two")`, ``, `cannot use "two"`},
		{"reply", `var s string; s, err = Add.Call(ctx, counter, 2); _ = s`, ``, `cannot use Add.Call`},
		{"params", `_, err = Type.Spawn(ctx, p, "c", "forty")`, ``, `cannot use "forty"`},
		{"spawned", `counter, err = Type.Spawn(ctx, p, "c", Params{}); printer, err = Type.Spawn(ctx, p, "c", Params{})`, ``, `actor.Ref[*Printer]`},
		{"port", `err = port.Send(ctx, 7)`, ``, `cannot use 7`},
		{"methodport", `port = Add.Port(counter)`, ``, `actor.Port[string]`},
		{"foreign", ``, `var Bad = actor.Define("bad", New, Add, Print)`, `Print`},
		{"missing", ``, `func NewAdder(context.Context, Params) (Adder, error) { return &Printer{}, nil }`, `missing method Add`},
		{"signature", ``, `func (c *Counter) Odd(n int) int { return n }; var Odd = actor.On("counter.odd", (*Counter).Odd)`, `(*Counter).Odd`},
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-overlay", filepath.Join(dir, "overlay.json")}
	for _, tt := range tests {
		file := filepath.Join(dir, tt.name+".go")
		if err := os.WriteFile(file, fmt.Appendf(nil, snippet, tt.line, tt.more), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(here, "snippet_"+tt.name, "x.go")] = file
		args = append(args, "./snippet_"+tt.name)
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.CommandContext(t.Context(), "go", args...).CombinedOutput() // fails: that is the point
	found := map[string]string{}
	for l := range strings.Lines(string(out)) {
		for _, tt := range tests {
			if strings.Contains(l, "snippet_"+tt.name) || strings.Contains(l, tt.name+".go:") {
				found[tt.name] += l
			}
		}
	}
	for _, tt := range tests {
		switch got := found[tt.name]; {
		case tt.want == "" && got != "":
			t.Errorf("%s: should compile, but: %s", tt.name, got)
		case tt.want != "" && !strings.Contains(got, tt.want):
			t.Errorf("%s: want an error about %s, got %q", tt.name, tt.want, got)
		}
	}
	if t.Failed() {
		t.Log(string(out))
	}
}
