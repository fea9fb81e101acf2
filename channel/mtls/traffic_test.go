package mtls_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Both sides of a session over real sockets send calls, which they write
// themselves if the socket takes them, and large messages in between. All
// arrives, once, in order, as it was (MS-1, MS-15).
func TestRealTrafficOverTLS(t *testing.T) {
	const n = 400
	demo := newAuthority(t, "demo")
	beta := newTransport(t, nil, newHost(t, demo, "beta", time.Hour).Credentials)
	alpha := newTransport(t, nil, newHost(t, demo, "alpha", time.Hour).Credentials)
	l := listen(t, beta)
	defer l.Close()
	var got, running sync.WaitGroup
	check := func(at string) func(*channel.Session, *wire.Envelope) {
		got.Add(n)
		next := uint64(0)
		return func(_ *channel.Session, e *wire.Envelope) {
			if want := trafficBody(next); e.Call != next || !bytes.Equal(e.Body, want) {
				t.Errorf("%s: message %d of %d bytes came, want %d of %d", at, e.Call, len(e.Body), next, len(want))
			}
			e.Release()
			next++
			got.Done()
		}
	}
	var far *channel.Session
	running.Go(func() {
		conn, err := l.Accept()
		if err == nil {
			far, err = new(channel.Hub).Accept(t.Context(), conn, sessionConfig(procB, check("b")))
		}
		if err != nil {
			t.Error(err)
		}
	})
	near, err := channel.Dial(t.Context(), alpha, l.Addr().String(), sessionConfig(procA, check("a")))
	running.Wait()
	if err != nil || far == nil {
		t.Fatalf("no session: %v", err)
	}
	for _, s := range []*channel.Session{near, far} {
		running.Go(func() { s.Run() })
	}
	send := func(s *channel.Session, from, to id.Proc) {
		for i := range uint64(n) {
			e := wire.Envelope{Kind: wire.Call, TTL: 8, Call: i, From: from.Actor("from"), To: to.Actor("to"), Method: "m", Body: trafficBody(i)}
			if err := s.Send(t.Context(), &e); err != nil {
				t.Error(err)
			}
		}
	}
	var sending sync.WaitGroup
	sending.Go(func() { send(near, procA, procB) })
	sending.Go(func() { send(far, procB, procA) })
	sending.Wait()
	got.Wait()
	near.Abort(net.ErrClosed)
	far.Abort(net.ErrClosed)
	running.Wait()
}

// trafficBody is the body of the i-th message: mostly a small one.
func trafficBody(i uint64) []byte {
	random := rand.New(rand.NewPCG(i, 1))
	size := random.IntN(300)
	if i%7 == 0 {
		size = random.IntN(400_000)
	}
	return bytes.Repeat([]byte{byte(i), byte(i >> 8), 3}, size/3+1)[:size]
}
