package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/capture"
)

// chunks notes what is written at once.
type chunks []string

func (c *chunks) Write(p []byte) (int, error) {
	*c = append(*c, string(p))
	return len(p), nil
}

// TestLineWriter has a text come in any pieces: its lines go on whole, and
// those that came at once go on at once.
func TestLineWriter(t *testing.T) {
	source := capture.Source{Proc: "web-3", Stream: launch.Stdout}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", "bc", "\n", "é", " "})).Draw(t, "text"), "")
		var to chunks
		w := newLineWriter(&to, capture.Format{}, source)
		written := 0
		for rest := text; rest != ""; written++ {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			w.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if len(to) > written+1 {
			t.Fatalf("%d writes went on as %d", written, len(to))
		}
		for _, c := range to {
			if !strings.HasPrefix(c, "web[3] ") || !strings.HasSuffix(c, "\n") {
				t.Fatalf("%q is not whole lines", c)
			}
		}
		var want strings.Builder
		for line := range strings.Lines(text) {
			want.WriteString("web[3] " + strings.TrimSuffix(line, "\n") + "\n")
		}
		if got := strings.Join(to, ""); got != want.String() {
			t.Fatalf("got %q, want %q", got, want.String())
		}
	})
}

func TestPrefixMode(t *testing.T) {
	for mode, want := range map[prefixMode][2]bool{prefixAuto: {false, true}, prefixAlways: {true, true}, prefixNever: {false, false}} {
		if got := [2]bool{mode.on(false), mode.on(true)}; got != want {
			t.Errorf("%v: %v, want %v", mode, got, want)
		}
		var again prefixMode
		if err := again.UnmarshalText([]byte(mode.String())); err != nil || again != mode {
			t.Errorf("%v is read as %v, %v", mode, again, err)
		}
	}
}

// TestStreams sees where the streams go: bytes as they are, or lines.
func TestStreams(t *testing.T) {
	dir, err := capture.Open(capture.Config{Path: t.TempDir(), PackAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for name, kept := range map[string]func(host.ProcSpec) (host.Streams, error){
		"no logs": nil,
		"logs":    func(s host.ProcSpec) (host.Streams, error) { return host.Capture(dir, s.Name) },
	} {
		t.Run(name, func(t *testing.T) {
			var out, err chunks
			o := output{outlets: [2]outlet{{&out, false}, {&err, true}}, kept: kept}
			for range 2 { // incarnations
				s, fault := o.streams(host.ProcSpec{Name: "w-0"})
				if fault != nil {
					t.Fatal(fault)
				}
				s.Stdout.Write([]byte("a\x00b"))
				s.Stderr.Write([]byte("c\nd"))
				if fault := s.Close(); fault != nil {
					t.Fatal(fault)
				}
			}
			if got := strings.Join(out, ""); got != "a\x00ba\x00b" {
				t.Errorf("stdout: %q", got)
			}
			if got := strings.Join(err, ""); got != "w[0] c\nw[0] d\nw[0] c\nw[0] d\n" {
				t.Errorf("stderr: %q", got)
			}
		})
	}
	raw, err := dir.Reader().Raw(capture.Position{Source: capture.Source{Proc: "w-0", Stream: launch.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	buf := make([]byte, 100)
	if n, _ := raw.Read(buf); string(buf[:n]) != "c\ndc\nd" {
		t.Errorf("log: %q", buf[:n])
	}
}
