package mtls_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/id"
)

// birth is a proc called procA and its host, which can fail it.
type birth struct {
	procs   mtls.Procs
	log     bytes.Buffer
	asked   atomic.Int64
	refuses error
	as      id.Proc // whom the host certifies
	silent  bool
}

func newBirth(t *testing.T, valid time.Duration) *birth {
	t.Helper()
	alpha := newHost(t, newAuthority(t, "demo"), "alpha", 100*time.Hour)
	b := &birth{as: procA}
	b.procs = mtls.Procs{
		Issuer: func() (*authority.Issuer, error) { return alpha.Issuer, nil },
		Valid:  valid, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	return b
}

func (b *birth) transport() channel.Transport { return b.procs.Transports(procA, b.ask)["tls"] }

func (b *birth) ask(ctx context.Context, public []byte) ([]byte, error) {
	b.asked.Add(1)
	if b.silent {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	if b.refuses != nil {
		return nil, b.refuses
	}
	return b.procs.Issue(b.as, public)
}

// A proc asks its host when it needs a certificate, and when half of the life of
// the one that it has is over. What its host cannot renew it uses to the end.
func TestProcsAskWhenTheyNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBirth(t, 10*time.Minute)
		tr := b.transport()
		if n := b.asked.Load(); n != 0 {
			t.Errorf("it has asked %d times before it needed anything", n)
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { dials(t, tr, nil) })
		}
		wg.Wait()
		for _, step := range []struct {
			wait    time.Duration
			refuses error
			asked   int64
			want    error
		}{
			{4*time.Minute + 59*time.Second, nil, 1, nil},
			{2 * time.Second, nil, 2, nil},
			{5*time.Minute + time.Second, errors.New("the host is tired"), 3, nil},
			{4 * time.Minute, errors.New("the host is tired"), 4, nil},
			{time.Minute, errors.New("the host is tired"), 5, authority.ErrExpired},
			{0, nil, 6, nil},
		} {
			<-time.After(step.wait)
			b.refuses = step.refuses
			dials(t, tr, step.want)
			if n := b.asked.Load(); n != step.asked {
				t.Errorf("it has asked %d times, want %d", n, step.asked)
			}
		}
		if n := strings.Count(b.log.String(), "the host is tired"); n != 3 {
			t.Errorf("it says %d times why it has the old one, want 3:\n%s", n, &b.log)
		}
	})
}

// dials requires that a transport has credentials to dial with, or why not. It
// dials nobody: the address is none.
func dials(t *testing.T, tr channel.Transport, want error) {
	t.Helper()
	_, err := tr.Dial(t.Context(), "nowhere")
	if addr, ok := errors.AsType[*net.AddrError](err); ok && addr.Addr == "nowhere" {
		err = nil
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// A host that does not answer, or answers with something else, costs a proc a
// bounded time.
func TestProcsOfABadHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBirth(t, 0)
		b.silent = true
		start := time.Now()
		_, err := b.transport().Listen(t.Context(), "127.0.0.1:0")
		if err == nil || !strings.Contains(err.Error(), "did not answer within 2s") || time.Since(start) != 2*time.Second {
			t.Errorf("a silent host: %v after %v", err, time.Since(start))
		}
		b.silent, b.as.UID = false, 77
		if _, err := b.transport().Listen(t.Context(), "127.0.0.1:0"); !errors.Is(err, authority.ErrAnother) || !strings.Contains(err.Error(), "hyper://alpha.demo/alpha/a~000000000000004d") {
			t.Errorf("a certificate of somebody else: %v", err)
		}
		<-time.After(101 * time.Hour)
		if err := b.procs.Check(); !errors.Is(err, authority.ErrExpired) {
			t.Errorf("an issuer that has expired: %v", err)
		}
	})
}
