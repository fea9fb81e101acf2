package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func testBench(t *testing.T) *bench {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir, err := os.MkdirTemp("", "bench") // shorter than t.TempDir: sockets go into it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := certify(dir); err != nil {
		t.Fatal(err)
	}
	return &bench{dir: dir, talk: io.Discard, options: options{rounds: 2, time: time.Millisecond, sessions: 3, maxSize: 1 << 10, sizeStep: 4}}
}

// TestRealSubjects runs every race with every contender, a few messages each.
func TestRealSubjects(t *testing.T) {
	b := testBench(t)
	for _, s := range subjects() {
		t.Run(s.title, func(t *testing.T) {
			bl, err := b.race(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if len(bl.Rows) < 2 {
				t.Errorf("%d contenders, want some", len(bl.Rows))
			}
			for _, r := range bl.Rows {
				if r.Error != "" || len(r.Samples) != b.rounds {
					t.Errorf("%s: %d samples, want %d; error %q", r.Contender, len(r.Samples), b.rounds, r.Error)
				}
				for _, m := range append(slices.Clone(bl.Main), bl.Aside...) {
					if _, ok := r.Spreads[m]; !ok {
						t.Errorf("%s has no %s", r.Contender, m)
					}
				}
				for _, m := range bl.Main {
					if r.Spreads[m].Min <= 0 {
						t.Errorf("%s: %s is %v", r.Contender, m, r.Spreads[m])
					}
				}
			}
			if got, want := len(bl.verdicts()), len(s.goals); got != want {
				t.Errorf("%d verdicts, want %d", got, want)
			}
		})
	}
}

func TestRealIdle(t *testing.T) {
	b := testBench(t)
	for _, r := range b.idle(t.Context()).Rows {
		if r.Error != "" || len(r.Samples) != 1 {
			t.Errorf("%s: %d samples, error %q", r.Contender, len(r.Samples), r.Error)
		}
	}
}

// TestRealFates tries small messages, which everybody delivers, and those that
// each of the peers does not.
func TestRealFates(t *testing.T) {
	b := testBench(t)
	all, err := b.fates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Fate != delivered {
			t.Errorf("%s: %d messages of %d bytes: %s (%s)", f.Contender, f.Batch, f.Size, f.Fate, f.Error)
		}
	}
	for name, test := range map[string]struct {
		size int
		want fate
	}{
		"gRPC stream": {4<<20 + 1, broken},
		"NATS":        {1<<20 + 1, refused},
		"net/rpc":     {17 << 20, delivered},
		oursName:      {256<<20 + 1, refused},
	} {
		s := shape{Network: "tcp", Size: 64}
		l, err := those(b, s, name)[0].open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if got := try(t.Context(), l, pattern(test.size), 2); got.Fate != test.want {
			t.Errorf("%s: got %q (%s), want %q", name, got.Fate, got.Error, test.want)
		}
		l.close()
	}
}

// TestRealRun runs the command, small, and reads what it wrote.
func TestRealRun(t *testing.T) {
	testBench(t)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-quick", "-only", "within a process", "-json", "-"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if len(r.Blocks) != 1 || len(r.Blocks[0].Rows) != 2 || r.Machine.CPUs == 0 {
		t.Errorf("got %+v, want one block of two", r)
	}
	var text, markdown strings.Builder
	if err := r.writeText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.writeMarkdown(&markdown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{chanName, localName} {
		if !strings.Contains(text.String(), want) || !strings.Contains(markdown.String(), want) {
			t.Errorf("%s is not in the tables:\n%s\n%s", want, text.String(), markdown.String())
		}
	}
}
