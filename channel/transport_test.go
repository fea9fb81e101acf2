package channel_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperactor/hyperactor/channel"
)

// shortDir returns a private directory whose path is short enough for a
// socket.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ch")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// MS-15.
func TestRealUnixIsPrivate(t *testing.T) {
	tr := channel.System(channel.SystemConfig{})
	dir := shortDir(t)
	l, addr, err := tr.Listen(t.Context(), channel.Addr("unix:"+filepath.Join(dir, "made", "s")))
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "made")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the directory that Listen made: %v, %v", fi.Mode(), err)
	}
	if want := channel.Addr("unix:" + filepath.Join(dir, "made", "s")); addr != want {
		t.Errorf("address %s, want %s", addr, want)
	}
	l.Close()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if l, _, err := tr.Listen(t.Context(), channel.Addr("unix:"+filepath.Join(dir, "s"))); err == nil || !strings.Contains(err.Error(), "not private") {
		t.Errorf("listening in a public directory: %v, %v", l, err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "made"), link); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tr.Listen(t.Context(), channel.Addr("unix:"+filepath.Join(link, "s"))); err == nil {
		t.Error("listening behind a symbolic link is allowed")
	}
	if _, _, err := tr.Listen(t.Context(), channel.Addr("unix:/"+strings.Repeat("x", 200))); err == nil || !strings.Contains(err.Error(), "201 bytes") {
		t.Errorf("a path that is too long: %v", err)
	}
}

// MS-15.
func TestRealTCPIsLoopbackOnly(t *testing.T) {
	tr := channel.System(channel.SystemConfig{})
	l, addr, err := tr.Listen(t.Context(), "tcp:127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if strings.HasSuffix(string(addr), ":0") {
		t.Errorf("address %s lacks the port", addr)
	}
	for _, a := range []channel.Addr{"tcp:0.0.0.0:0", "tcp::0", "tcp:192.0.2.1:80", "tcp:localhost:0", "tcp:[::]:0"} {
		if _, _, err := tr.Listen(t.Context(), a); !errors.Is(err, channel.ErrInsecure) || !strings.Contains(err.Error(), "Insecure") {
			t.Errorf("listen on %s: %v", a, err)
		}
		if _, err := tr.Dial(t.Context(), a, channel.Config{}); !errors.Is(err, channel.ErrInsecure) {
			t.Errorf("dial %s: %v", a, err)
		}
	}
	open := channel.System(channel.SystemConfig{Insecure: true})
	l, _, err = open.Listen(t.Context(), "tcp:0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, _, err := tr.Listen(t.Context(), "pigeon:x"); err == nil || !strings.Contains(err.Error(), "tcp, unix") {
		t.Errorf("unknown transport: %v", err)
	}
}

func TestParseAddr(t *testing.T) {
	a, err := channel.ParseAddr("unix:/a:b")
	if err != nil || a.Network() != "unix" || a.Address() != "/a:b" {
		t.Errorf("%v %v", a, err)
	}
	for _, s := range []string{"", "unix", "unix:", ":x"} {
		if _, err := channel.ParseAddr(s); err == nil {
			t.Errorf("ParseAddr(%q) is fine", s)
		}
	}
}
