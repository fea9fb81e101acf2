package mtls

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/authority"
)

// watched is a directory of credentials, of which the files have not been
// touched for an hour.
type watched struct {
	dir       string
	authority *authority.Authority
	log       bytes.Buffer
	watch     *watch
	at        time.Time
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	a, err := authority.New("demo", 100*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{dir: filepath.Join(t.TempDir(), "alpha"), authority: a, at: time.Now().Add(time.Hour)}
	w.issue(t)
	w.watch = newWatch(authority.HostFiles(w.dir), slog.New(slog.NewTextHandler(&w.log, nil)))
	return w
}

// issue writes new credentials and returns them.
func (w *watched) issue(t *testing.T) authority.Credentials {
	t.Helper()
	h, err := w.authority.Host("alpha", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Save(w.dir); err != nil {
		t.Fatal(err)
	}
	return h.Credentials
}

// look returns what the watch has now, and what it logs.
func (w *watched) look(t *testing.T) (authority.Credentials, string) {
	t.Helper()
	w.log.Reset()
	c, tell, err := w.watch.look(w.at)
	if err != nil {
		t.Fatal(err)
	}
	tell()
	return c, w.log.String()
}

func (w *watched) write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestChangedFilesAreReadAgain(t *testing.T) {
	w := newWatched(t)
	first, _ := w.look(t)
	if w.watch.seen == nil {
		t.Error("files that rest are read again and again")
	}
	if again, log := w.look(t); !again.Equal(first) || log != "" {
		t.Errorf("nothing has changed: %s", log)
	}
	second := w.issue(t)
	if got, log := w.look(t); !got.Equal(second) || !strings.Contains(log, "was replaced") || !strings.Contains(log, "cert.pem") {
		t.Errorf("new files: %v, %s", got.Equal(second), log)
	}
}

// MS-15: files are replaced one after the other, and not always by a rename.
func TestHalfWrittenFilesAreLeftAlone(t *testing.T) {
	for _, name := range []string{"cert.pem", "key.pem", "ca.pem"} {
		w := newWatched(t)
		before, _ := w.look(t)
		second := w.issue(t)
		whole, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range [][]byte{nil, whole[:len(whole)-10]} {
			w.write(t, name, part)
			got, log := w.look(t)
			if !got.Equal(before) || !strings.Contains(log, "level=WARN") || !strings.Contains(log, "cannot be used") {
				t.Errorf("%d bytes of %s: %v, %q", len(part), name, got.Equal(before), log)
			}
			if _, log := w.look(t); log != "" {
				t.Errorf("it says so again: %s", log)
			}
			if w.write(t, name, whole); len(part) == 0 {
				if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
					t.Fatal(err)
				}
				if got, log := w.look(t); !got.Equal(before) || !strings.Contains(log, "no such file") {
					t.Errorf("without %s: %v, %q", name, got.Equal(before), log)
				}
			}
		}
		w.write(t, name, whole)
		if got, log := w.look(t); !got.Equal(second) || !strings.Contains(log, "was replaced") {
			t.Errorf("all of %s: %v, %q", name, got.Equal(second), log)
		}
	}
}

func TestKeyThatDoesNotFitYet(t *testing.T) {
	w := newWatched(t)
	before, _ := w.look(t)
	cert, err := os.ReadFile(filepath.Join(w.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.issue(t)
	w.write(t, "cert.pem", cert)
	if got, log := w.look(t); !got.Equal(before) || !strings.Contains(log, "not that of the certificate") {
		t.Errorf("%v, %q", got.Equal(before), log)
	}
}

// What is written in the instant in which we read must not go unnoticed, even
// if it leaves the size and the time of the file as they are.
func TestFreshFilesAreReadAgain(t *testing.T) {
	w := newWatched(t)
	w.at = time.Now()
	w.look(t)
	if w.watch.seen != nil {
		t.Error("a stamp of this instant is relied on")
	}
}

func TestManyAskAtOnce(t *testing.T) {
	w := newWatched(t)
	w.look(t)
	second := w.issue(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if c, tell, err := w.watch.look(w.at); err != nil || !c.Equal(second) {
				t.Errorf("got %v, %v", c.Equal(second), err)
			} else {
				tell()
			}
		})
	}
	wg.Wait()
	if n := strings.Count(w.log.String(), "was replaced"); n != 1 {
		t.Errorf("said %d times that it was replaced", n)
	}
}
