package osproc

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/internal/handshake"
)

// newPair returns the child's side of a control connection and the host's.
func newPair(t *testing.T) (*asks, *os.File) {
	t.Helper()
	host, child, err := controlPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		host.Close()
		child.Close()
	})
	return newAsks(child, true), host
}

// Several who ask at once get their own answers, whatever the order.
func TestRealAsks(t *testing.T) {
	a, host := newPair(t)
	var wg sync.WaitGroup
	wg.Go(a.read)
	const n = 10
	for i := range byte(n) {
		wg.Go(func() {
			got, err := a.ask(t.Context(), []byte{i})
			if err != nil || len(got) != 1 || got[0] != i {
				t.Errorf("asked with %d: %v, %v", i, got, err)
			}
		})
	}
	var asked []handshake.Note
	for range n {
		var q handshake.Note
		if err := handshake.Read(host, &q); err != nil {
			t.Fatal(err)
		}
		asked = append(asked, q)
	}
	handshake.Write(host, &handshake.Grant{Ask: 1000, Grant: []byte("nobody asked for it")})
	for i := range asked {
		q := asked[n-1-i]
		if err := handshake.Write(host, &handshake.Grant{Ask: q.Ask, Grant: q.Key}); err != nil {
			t.Fatal(err)
		}
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := a.ask(ctx, []byte{1}); !errors.Is(err, cause) {
		t.Errorf("got %v, want the end of ctx", err)
	}
	wg.Go(func() {
		if _, err := a.ask(t.Context(), []byte{2}); !errors.Is(err, errHostGone) {
			t.Errorf("without an answer: %v", err)
		}
	})
	for range 2 { // the one that was given up and this one
		if err := handshake.Read(host, new(handshake.Note)); err != nil {
			t.Fatal(err)
		}
	}
	host.Close()
	wg.Wait()
	if _, err := a.ask(t.Context(), []byte{3}); !errors.Is(err, errHostGone) {
		t.Errorf("after the end: %v", err)
	}
}

// A child passes over what it does not understand, and still sees the end of
// its host.
func TestRealAsksOfGarbage(t *testing.T) {
	a, host := newPair(t)
	var wg sync.WaitGroup
	wg.Go(a.read)
	host.Write([]byte("\x00\x00\x00\x01\xff and more"))
	host.Close()
	wg.Wait()
}

// A child that asks and does not read costs the host a bounded time, and its
// control connection.
func TestRealGrantsNobodyReads(t *testing.T) {
	_, host := newPair(t)
	b := &body{control: host, manager: New(Config{})}
	start := time.Now()
	for {
		err := b.grant(handshake.Note{Key: []byte("k")})
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took < grantBound {
		t.Errorf("it was given up after %v", took)
	}
}
