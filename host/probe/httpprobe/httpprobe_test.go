package httpprobe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host/probe"
)

// answers is what a server says, by path.
func answers() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ok", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /none", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/bad", http.StatusFound) })
	mux.HandleFunc("GET /bad", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no disk\x1b\nmore", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("GET /long", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("x", 1<<20), http.StatusInternalServerError)
	})
	mux.HandleFunc("GET /secret", func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name != "me" || password != "pw" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("GET /hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return mux
}

func newCheck(t *testing.T, cfg Config) *Check {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRealStatus(t *testing.T) {
	s := httptest.NewServer(answers())
	defer s.Close()
	tests := []struct{ path, fault string }{
		{"/ok", ""},
		{"/ok?a=b#c", ""},
		{"/none", ""},
		{"/moved", ""},
		{"/bad", `status 503 Service Unavailable: "no disk\x1b"`},
		{"/long", `status 500 Internal Server Error: "` + strings.Repeat("x", 200) + `"`},
		{"/nowhere", `status 404 Not Found: "404 page not found"`},
		{"/secret", "status 401 Unauthorized"},
	}
	for _, tt := range tests {
		err := newCheck(t, Config{URL: s.URL + tt.path}).Check(t.Context())
		if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || err.Error() != tt.fault) {
			t.Errorf("%s: got %v, want %q", tt.path, err, tt.fault)
		}
	}
	c := newCheck(t, Config{URL: strings.Replace(s.URL, "http://", "http://me:pw@", 1) + "/secret"})
	if err := c.Check(t.Context()); err != nil || strings.Contains(c.String(), "pw") {
		t.Errorf("%v: %v", c, err)
	}
}

func TestRealHang(t *testing.T) {
	s := httptest.NewServer(answers())
	defer s.Close()
	a := probe.Asked{Check: newCheck(t, Config{URL: s.URL + "/hang"}), Config: probe.Config{
		Interval: time.Millisecond, Timeout: 50 * time.Millisecond, Failures: 2,
	}}
	err := a.AwaitFailure(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "http="+s.URL+"/hang: 2 misses in a row: no answer within ") {
		t.Errorf("got %v", err)
	}
}

func TestRealUnix(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "s")}
	if runtime.GOOS == "linux" {
		names = append(names, "@httpprobe-test-"+strings.ReplaceAll(t.TempDir(), "/", "-"))
	}
	for _, name := range names {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(answers())
		s.Listener.Close()
		s.Listener = l
		s.Start()
		if err := newCheck(t, Config{URL: "unix:" + name + ":/ok?x=:"}).Check(t.Context()); err != nil {
			t.Error(err)
		}
		if err := newCheck(t, Config{URL: "unix:" + name}).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("got %v", err)
		}
		if err := newCheck(t, Config{URL: "unix://" + name}).Check(t.Context()); name[0] == '/' && (err == nil || !strings.Contains(err.Error(), "404")) {
			t.Errorf("got %v", err)
		}
		s.Close()
		c := newCheck(t, Config{URL: "unix:" + name + ":/ok"})
		if err := c.Check(t.Context()); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
	}
}

func TestRealTLS(t *testing.T) {
	s := httptest.NewTLSServer(answers())
	defer s.Close()
	s.Config.ErrorLog = nil
	if err := newCheck(t, Config{URL: s.URL + "/ok"}).Check(t.Context()); err == nil {
		t.Error("a certificate that nobody has signed was taken")
	} else if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("got %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	if err := newCheck(t, Config{URL: s.URL + "/ok", TLS: &tls.Config{RootCAs: roots}}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRealConnections has a connection for each try, and none between them.
func TestRealConnections(t *testing.T) {
	s := httptest.NewUnstartedServer(answers())
	var opened, closed atomic.Int32
	last := make(chan struct{})
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			if closed.Add(1) == 5 {
				close(last)
			}
		}
	}
	s.Start()
	defer s.Close()
	c := newCheck(t, Config{URL: s.URL + "/bad"})
	for range 5 {
		if err := c.Check(t.Context()); err == nil {
			t.Error("503 is not good")
		}
	}
	<-last
	if n := opened.Load(); n != 5 {
		t.Errorf("%d connections", n)
	}
}

func TestRealNew(t *testing.T) {
	for _, url := range []string{"", "x", "ftp://x", "http://", "http://:80", "unix:", "unix:x", "unix:/", "unix:/s:x", "unix:@", "http://%zz", "unix:/s:/%zz"} {
		if c, err := New(Config{URL: url}); err == nil || !strings.HasPrefix(err.Error(), "probe http") {
			t.Errorf("%q: got %v, %v", url, c, err)
		}
	}
}

func FuzzNew(f *testing.F) {
	for _, seed := range []string{"http://a:1/b?c#d", "https://me:pw@[::1]/", "unix:/s:/p", "unix:///s", "unix:@a", "://", "http://%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		c, err := New(Config{URL: url})
		if err != nil {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody is asked
		if err := c.Check(ctx); err == nil || !strings.HasPrefix(c.String(), "http=") {
			t.Errorf("%q: %v: %v", url, c, err)
		}
	})
}
