package osproc

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/handshake"
)

// TestRealTermWhileStarting has a SIGTERM end the ctx of a child before it is
// ready: it says that it is, and ends in good order.
func TestRealTermWhileStarting(t *testing.T) {
	dir, err := os.MkdirTemp("", "osproc-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	proc, err := id.NewProc("host", "a")
	if err != nil {
		t.Fatal(err)
	}
	child, host, err := controlPair() // the first one has deadlines
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	defer host.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cfg := ChildConfig{Log: slog.New(slog.DiscardHandler), Drain: time.Second}
	err = serve(ctx, cfg, child, handshake.Boot{
		Version: handshake.Version, Once: []byte("once"), Token: []byte("token"), Proc: proc, Host: id.Proc{Host: "host", Name: "service", UID: 1},
		Listen: channel.Addr("unix:" + filepath.Join(dir, "a")),
	}, func() {})
	if err != nil {
		t.Error(err)
	}
	var n handshake.Note
	if err := handshake.Read(host, &n); err != nil || n.Failure != "" || n.Addr == "" {
		t.Errorf("got %+v, %v", n, err)
	}
}
