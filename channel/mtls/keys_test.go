package mtls

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/id"
)

func TestExpiredFilesAreNamed(t *testing.T) {
	w := newWatched(t)
	_, until := w.issue(t).Valid()
	at := until
	k := newKeys(Config{Files: authority.HostFiles(w.dir), Log: slog.New(slog.DiscardHandler)}, func() time.Time { return at })
	if _, err := k.now(t.Context()); err != nil {
		t.Errorf("in its last second: %v", err)
	}
	at = until.Add(time.Millisecond)
	_, err := k.now(t.Context())
	for _, want := range []string{filepath.Join(w.dir, "cert.pem"), until.UTC().Format(time.RFC3339), "hyper://alpha.demo/alpha"} {
		if !errors.Is(err, authority.ErrExpired) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

// MS-15: a program that has the certificate of another host can know it.
func TestCertificateOfAnother(t *testing.T) {
	w := newWatched(t)
	tr, err := New(Config{Files: authority.HostFiles(w.dir)})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.CheckSelf(t.Context(), id.Proc{Host: "alpha", Name: "any", UID: 1}); err != nil {
		t.Error(err)
	}
	err = tr.CheckSelf(t.Context(), id.Proc{Host: "zeta", Name: "any", UID: 1})
	for _, want := range []string{filepath.Join(w.dir, "cert.pem"), "it says hyper://alpha.demo/alpha", "we are zeta/any~0000000000000001"} {
		if !errors.Is(err, authority.ErrAnother) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Whoever names no logger hears of certificates that end, and of nothing else.
func TestWarningsGoToStderr(t *testing.T) {
	log := orStderr(nil)
	if warns, informs := log.Enabled(t.Context(), slog.LevelWarn), log.Enabled(t.Context(), slog.LevelInfo); !warns || informs {
		t.Errorf("it warns: %v, it informs: %v", warns, informs)
	}
	for name, k := range map[string]*keys{
		"New":   newKeys(Config{Files: authority.HostFiles("x")}, time.Now),
		"Procs": Procs{}.Transports(id.Proc{}, nil)["tls"].(*Transport).keys,
	} {
		if !k.log.Enabled(t.Context(), slog.LevelWarn) {
			t.Errorf("%s: nobody is warned", name)
		}
	}
}
