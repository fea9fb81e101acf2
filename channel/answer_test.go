package channel_test

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/internal/memnet"
	"github.com/hyperactor/hyperactor/wire"
)

// lastWord is a connection whose first write ends with err, after all of it has
// gone out and then was called.
type lastWord struct {
	net.Conn
	then func()
	err  error
}

func (c *lastWord) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.then != nil {
		c.then()
		c.then, err = nil, c.err
	}
	return n, err
}

func (c *lastWord) CloseWrite() error { return c.Conn.(*slowHello).CloseWrite() }

// Who has our answer takes the session for begun. Found by a seed of the
// simulation: messages were in doubt for a network that broke in that moment.
func TestMS5AnswerOfAConnectionThatEnds(t *testing.T) {
	for name, ends := range map[string]func(conn net.Conn, giveUp func()) net.Conn{
		"it breaks":        func(conn net.Conn, _ func()) net.Conn { return &lastWord{conn, func() { conn.Close() }, net.ErrClosed} },
		"the time is over": func(conn net.Conn, giveUp func()) net.Conn { return &lastWord{conn, giveUp, nil} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pair{t: t, net: memnet.New(), cfgB: channel.Config{Hello: wire.Hello{Peer: procB, Epoch: 2}}}
				p.cfgB.Handle = p.atB.handle
				p.spoil = ends
				p.listen()
				defer p.end()
				p.dial(channel.Config{Hello: wire.Hello{Peer: procA, Epoch: 1}, Handle: p.atA.handle})
				p.send(p.a, 1, 3)
				p.send(p.far(), 1, 3)
				p.wantAll(3)
				if p.far().Status().Lost == nil {
					t.Error("the first connection has lasted")
				}
			})
		})
	}
}
