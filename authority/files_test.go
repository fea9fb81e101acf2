package authority_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/authority"
)

// modes returns what is in a directory.
func modes(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]fs.FileMode{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = info.Mode()
	}
	return all
}

func TestAuthorityInFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "ca")
	demo := newAuthority(t, "demo")
	if err := demo.Save(dir); err != nil {
		t.Fatal(err)
	}
	if got := modes(t, dir); len(got) != 2 || got["ca.pem"] != 0o644 || got["ca-key.pem"] != 0o600 {
		t.Errorf("files %v", got)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := newAuthority(t, "demo").Save(dir); !errors.Is(err, authority.ErrExists) {
		t.Errorf("overwriting: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "ca-key.pem")); err != nil || !slices.Equal(after, before) {
		t.Errorf("the key is another one now (%v)", err)
	}
	opened, err := authority.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := demo.Trust().Verify(newHost(t, opened, "alpha").Credentials.Chain, time.Now()); err != nil {
		t.Errorf("what was saved is another authority: %v", err)
	}
}

// What is there of an authority is not overwritten, and the error says what that
// is, and what to do.
func TestWhatIsThereOfAnAuthority(t *testing.T) {
	for missing, want := range map[string]string{
		"":           "there are DIR/ca.pem and DIR/ca-key.pem: issue from them, or choose another directory",
		"ca.pem":     "there is DIR/ca-key.pem, but not ca.pem beside it: put that back, of which each host has a copy, or choose another directory",
		"ca-key.pem": "there is DIR/ca.pem, but not ca-key.pem beside it: put the key back, or choose another directory",
	} {
		dir := filepath.Join(t.TempDir(), "ca")
		if err := newAuthority(t, "demo").Save(dir); err != nil {
			t.Fatal(err)
		}
		if missing != "" {
			remove(t, dir, missing)
		}
		want = strings.ReplaceAll(want, "DIR", dir)
		if err := newAuthority(t, "demo").Save(dir); !errors.Is(err, authority.ErrExists) || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("without %q: saving: %v", missing, err)
		}
		_, err := authority.Open(dir)
		if missing == "" && err != nil || missing != "" && (err == nil || err.Error() != want) {
			t.Errorf("without %q: opening: %v", missing, err)
		}
	}
}

// A certificate without its key is an authority, too: nothing of it is lost.
func TestHalfAnAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if err := newAuthority(t, "demo").Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	if err := newAuthority(t, "demo").Save(dir); !errors.Is(err, authority.ErrExists) {
		t.Errorf("overwriting a certificate: %v", err)
	}
	if got := modes(t, dir); len(got) != 1 {
		t.Errorf("files %v", got)
	}
}

func TestHostInFiles(t *testing.T) {
	demo := newAuthority(t, "demo")
	dir := filepath.Join(t.TempDir(), "alpha")
	for range 2 { // the second replaces the first
		h := newHost(t, demo, "alpha")
		if err := h.Save(dir); err != nil {
			t.Fatal(err)
		}
		want := map[string]fs.FileMode{"ca.pem": 0o644, "cert.pem": 0o644, "key.pem": 0o600, "issuer.pem": 0o644, "issuer-key.pem": 0o600}
		got := modes(t, dir)
		for name, mode := range want {
			if got[name] != mode || len(got) != len(want) {
				t.Errorf("files %v, want %v", got, want)
			}
		}
		c, err := authority.HostFiles(dir).Credentials()
		if err != nil || !c.Chain[0].Equal(h.Credentials.Chain[0]) {
			t.Errorf("credentials: %v", err)
		}
		i, err := authority.IssuerFiles(dir).Issuer()
		if err != nil {
			t.Fatal(err)
		}
		p, err := i.Proc(worker, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := demo.Trust().Verify(p.Chain, time.Now()); err != nil || !name.Covers(worker) {
			t.Errorf("a proc of the issuer: %v, %v", name, err)
		}
	}
}

// The certificate goes with its key: it is not replaced if that cannot be.
func TestHostThatCannotBeReplaced(t *testing.T) {
	demo := newAuthority(t, "demo")
	dir := filepath.Join(t.TempDir(), "alpha")
	if err := newHost(t, demo, "alpha").Save(dir); err != nil {
		t.Fatal(err)
	}
	remove(t, dir, "key.pem")
	if err := os.Mkdir(filepath.Join(dir, "key.pem"), 0o700); err != nil { // which no file replaces
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := newHost(t, demo, "alpha").Save(dir); err == nil || !strings.Contains(err.Error(), "key.pem") {
		t.Errorf("got %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "cert.pem")); err != nil || !slices.Equal(after, before) {
		t.Errorf("the certificate is another one now (%v)", err)
	}
	if got := modes(t, dir); len(got) != 5 {
		t.Errorf("files %v", got)
	}
}

// The directory of an authority goes to no host.
func TestHostInTheDirectoryOfItsAuthority(t *testing.T) {
	demo := newAuthority(t, "demo")
	dir := filepath.Join(t.TempDir(), "ca")
	if err := demo.Save(dir); err != nil {
		t.Fatal(err)
	}
	err := newHost(t, demo, "ca").Save(dir)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "ca-key.pem")) || !strings.Contains(err.Error(), "choose another directory") {
		t.Errorf("got %v", err)
	}
	if got := modes(t, dir); len(got) != 2 {
		t.Errorf("files %v", got)
	}
}

func TestFilesThatAreNotTaken(t *testing.T) {
	demo := newAuthority(t, "demo")
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"a key for all":      {func(t *testing.T, dir string) { chmod(t, dir, "key.pem", 0o604) }, "key.pem is open to others (-rw----r--): chmod 600 it"},
		"a key to write":     {func(t *testing.T, dir string) { chmod(t, dir, "key.pem", 0o660) }, "open to others"},
		"no key":             {func(t *testing.T, dir string) { remove(t, dir, "key.pem") }, "no such file"},
		"no certificate":     {func(t *testing.T, dir string) { remove(t, dir, "cert.pem") }, "cert.pem"},
		"no authority":       {func(t *testing.T, dir string) { remove(t, dir, "ca.pem") }, "ca.pem"},
		"the key of another": {func(t *testing.T, dir string) { move(t, dir, "issuer-key.pem", "key.pem") }, "not that of the certificate"},
		"the issuer's instead": {func(t *testing.T, dir string) {
			move(t, dir, "issuer.pem", "cert.pem")
			move(t, dir, "issuer-key.pem", "key.pem")
		}, "that of an issuer"},
		"another authority": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "ca.pem"), newAuthority(t, "demo").Trust().PEM(), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "does not come from"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "alpha")
			if err := newHost(t, demo, "alpha").Save(dir); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir)
			if _, err := authority.HostFiles(dir).Credentials(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	demo := newAuthority(t, "demo")
	for _, err := range []error{demo.Save(dir), newHost(t, demo, "alpha").Save(dir)} {
		if err == nil || !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("keys in a directory that is open to others: %v", err)
		}
	}
	if got := modes(t, dir); len(got) != 0 {
		t.Errorf("files %v", got)
	}
}

func chmod(t *testing.T, dir, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}
