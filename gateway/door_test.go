package gateway_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/gateway"
)

// MS-15: connections that say nothing, or too slowly, stop nobody else.
func TestHalfOpenConnectionsStopNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		var log bytes.Buffer
		b := w.node("b", func(c *gateway.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		a := w.node("a")
		a.Route(b.id, b.Addr())
		const strangers = 10_000
		var conns []net.Conn
		for range strangers {
			c, err := w.net.Dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte{0, 0}) // the beginning of something
			conns = append(conns, c)
		}
		start := time.Now()
		a.send(b, "let me in")
		b.wants("let me in")
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
		advance(time.Minute)
		if n := b.Stats().Refused; n != strangers {
			t.Errorf("%d were refused, want %d", n, strangers)
		}
		a.send(b, "still here")
		b.wants("still here")
		for _, c := range conns {
			c.Close()
		}
		closeAll(a, b)
		if n := strings.Count(log.String(), "\n"); n < 1 || n > 10 {
			t.Errorf("%d lines in the log", n)
		}
		if !strings.Contains(log.String(), "said hello") {
			t.Errorf("the log does not say why: %s", log.String())
		}
	})
}
