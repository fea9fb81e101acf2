package mtls_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// side is one end of a session to be.
type side struct {
	transport channel.Transport
	says      id.Proc // that it is
	session   *channel.Session
	got       chan wire.Envelope
	err       error
}

func newSide(tr channel.Transport, says id.Proc) *side {
	return &side{transport: tr, says: says, got: make(chan wire.Envelope, 10)}
}

func (s *side) config() channel.Config {
	return sessionConfig(s.says, func(_ *channel.Session, e *wire.Envelope) { s.got <- *e })
}

// connect has a dial b, and runs what sessions come of it until the test ends
// them.
func connect(t *testing.T, a, b *side, running *sync.WaitGroup) {
	t.Helper()
	l, err := b.transport.Listen(t.Context(), "there")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		b.session, b.err = new(channel.Hub).Accept(t.Context(), conn, b.config())
	})
	a.session, a.err = channel.Dial(t.Context(), a.transport, "there", a.config())
	wg.Wait()
	for _, s := range []*side{a, b} {
		if s.session != nil {
			running.Go(func() { s.session.Run() })
		}
	}
}

// end cuts what sessions there are.
func end(running *sync.WaitGroup, sides ...*side) {
	for _, s := range sides {
		if s.session != nil {
			s.session.Abort(errors.New("end of test"))
		}
	}
	running.Wait()
}

// MS-15: a peer is who its certificate says, not who it says.
func TestSessionsAreWhoTheirCertificatesSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo, n := newAuthority(t, "demo"), memnet.New()
		alpha, beta := newHost(t, demo, "alpha", time.Hour), newHost(t, demo, "beta", time.Hour)
		ofHost := newTransport(t, n, alpha.Credentials)
		ofProc := newTransport(t, n, newProc(t, alpha, procA))
		other := id.Proc{Host: "alpha", Name: "other", UID: 3}
		for name, c := range map[string]struct {
			dialer     channel.Transport
			says       id.Proc // who dials
			answers    id.Proc // who is dialed
			here, over string  // the errors of the side that dials and of the other one
		}{
			"itself":                {ofProc, procA, procB, "", ""},
			"any proc of its host":  {ofHost, other, procB, "", ""},
			"a proc as another one": {ofProc, other, procB, "", "the peer says that it is alpha/other~0000000000000003, its certificate says hyper://alpha.demo/alpha/a~0000000000000001"},
			"a host as another one": {ofHost, procB, procB, "", "its certificate says hyper://alpha.demo/alpha"},
			"one that answers":      {ofProc, procA, procA, "the peer says that it is alpha/a~0000000000000001, its certificate says hyper://beta.demo/beta", ""},
		} {
			var running sync.WaitGroup
			a, b := newSide(c.dialer, c.says), newSide(newTransport(t, n, beta.Credentials), c.answers)
			connect(t, a, b, &running)
			for where, got := range map[string]error{c.here: a.err, c.over: b.err} {
				if where != "" && (!errors.Is(got, authority.ErrAnother) || !strings.Contains(got.Error(), where)) {
					t.Errorf("%s: got %v, want %q", name, got, where)
				}
			}
			if lies := c.here+c.over != ""; lies != (a.err != nil) {
				t.Errorf("%s: who dials: %v", name, a.err)
			}
			if c.over != "" && !strings.Contains(a.err.Error(), "it refused us") {
				t.Errorf("%s: who dials does not hear that it is refused: %v", name, a.err)
			}
			if a.err == nil {
				a.session.Send(t.Context(), &wire.Envelope{Kind: wire.Send, TTL: 8, To: c.answers.Actor("x"), From: c.says.Actor("y"), Method: "m", Body: make([]byte, 100_000)})
				if e := <-b.got; len(e.Body) != 100_000 {
					t.Errorf("%s: got %d bytes", name, len(e.Body))
				}
			}
			end(&running, a, b)
		}
	})
}

// MS-15: TLS meets plain text, either way, and neither side waits longer than
// for a hello.
func TestTLSAndPlainText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demo, n := newAuthority(t, "demo"), memnet.New()
		secure := newTransport(t, n, newHost(t, demo, "alpha", time.Hour).Credentials)
		for name, c := range map[string]struct {
			a, b       *side
			here, over error
		}{
			"plain text to TLS": {newSide(n, procA), newSide(secure, procB), io.ErrUnexpectedEOF, mtls.ErrNotTLS},
			"TLS to plain text": {newSide(secure, procA), newSide(n, procB), io.ErrUnexpectedEOF, wire.ErrFraming},
		} {
			start := time.Now()
			var running sync.WaitGroup
			connect(t, c.a, c.b, &running)
			if !errors.Is(c.b.err, c.over) || !errors.Is(c.a.err, c.here) {
				t.Errorf("%s: %v, and where it dials %v", name, c.b.err, c.a.err)
			}
			if took := time.Since(start); took > helloTimeout {
				t.Errorf("%s: it took %v", name, took)
			}
			end(&running, c.a, c.b)
		}
	})
}
