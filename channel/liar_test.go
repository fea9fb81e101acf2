package channel_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// victim is a session that was accepted, and a client that says what it likes.
type victim struct {
	*pair
	hello wire.Hello
}

// say connects to b, says hello and then stream, and returns the answer.
func (v *victim) say(h wire.Hello, stream []byte) (wire.Hello, net.Conn) {
	v.t.Helper()
	conn, err := v.net.Node("liar").Dial(context.Background(), "b")
	if err != nil {
		v.t.Fatal(err)
	}
	b, err := h.Append(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	conn.Write(append(b, stream...))
	typ, b := readFrame(conn)
	if typ != wire.FrameHello {
		return wire.Hello{}, conn
	}
	answer, err := wire.ParseHello(b)
	if err != nil {
		v.t.Error(err)
	}
	return answer, conn
}

// newVictim has a liar begin a session and send three messages.
func newVictim(t *testing.T) *victim { return newNeighbour(t, false) }

// newNeighbour is newVictim for a liar that says that it is on the same machine,
// or does not.
func newNeighbour(t *testing.T, local bool, change ...func(*channel.Config)) *victim {
	v := &victim{pair: newPair(t, change...), hello: wire.Hello{
		Version: wire.Version, Peer: id.Proc{Host: "alpha", Name: "liar", UID: 9}, Epoch: 5, Session: 77, ResumeFor: time.Minute, Local: local,
	}}
	v.far() // the honest one is first
	var stream []byte
	for i := range uint64(3) {
		stream = append(stream, dataFrame(i+1, 0, message(wire.Send, i+1, "").Append(nil))...)
	}
	_, conn := v.say(v.hello, stream)
	if b := v.far(); b.Peer().Peer != v.hello.Peer || b.Peer().Proven {
		t.Fatalf("a session with %+v", b.Peer())
	}
	conn.Close()
	synctest.Wait()
	return v
}

// resume returns the hello that continues the liar's session, changed.
func (v *victim) resume(change func(*wire.Hello)) wire.Hello {
	h := v.hello
	h.Resume = true
	change(&h)
	return h
}

// MS-5, MS-6, MS-8: who is not the peer of a session, or another life of it, or
// has what was never sent, does not come near it.
func TestMS5LiesInHello(t *testing.T) {
	for name, change := range map[string]func(*wire.Hello){
		"another peer":                func(h *wire.Hello) { h.Peer.Name = "other" },
		"another incarnation":         func(h *wire.Hello) { h.Peer.UID++ },
		"another epoch":               func(h *wire.Hello) { h.Epoch++ },
		"another session":             func(h *wire.Hello) { h.Session++ },
		"has what was not sent":       func(h *wire.Hello) { h.Received = 1 },
		"has more than there will be": func(h *wire.Hello) { h.Received = 1<<64 - 1 },
		"begins again":                func(h *wire.Hello) { h.Resume = false },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVictim(t)
				far := v.far()
				answer, conn := v.say(v.resume(change), nil)
				defer conn.Close()
				if answer.Resume {
					t.Errorf("it was let in: %+v", answer)
				}
				synctest.Wait()
				if st := far.Status(); st.Connected || far.Err() != nil {
					t.Errorf("the session: %+v, %v", st, far.Err())
				}
				honest, again := v.say(v.resume(func(*wire.Hello) {}), nil)
				defer again.Close()
				if !honest.Resume || honest.Received != 3 {
					t.Errorf("the peer itself: %+v", honest)
				}
			})
		})
	}
}

// MS-8: broken framing costs a connection; the session goes on with the next.
func TestMS8BrokenFramingCostsOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVictim(t)
		far := v.far()
		good := func(n uint64) []byte { return dataFrame(n, 0, message(wire.Send, n, "").Append(nil)) }
		for i := range uint64(10) {
			_, conn := v.say(v.resume(func(*wire.Hello) {}), append(good(i+4), 0, 0, 0, 1, 99))
			if typ, b := readFrame(conn); typ != wire.FrameClose && typ != wire.FrameAck || typ == wire.FrameClose && wire.CloseCode(b[8]) != wire.CloseFraming {
				t.Errorf("told %d %q", typ, b)
			}
			conn.Close()
			synctest.Wait()
		}
		if got := v.atB.calls(); !slices.Equal(got, upTo(13)) || far.Err() != nil {
			t.Errorf("got %v, %v", got, far.Err())
		}
		for range 5 {
			_, conn := v.say(v.resume(func(*wire.Hello) {}), []byte{0, 0, 0, 1, 99})
			conn.Close()
			synctest.Wait()
		}
		<-far.Done()
		if err := far.Err(); !errors.Is(err, wire.ErrFraming) {
			t.Errorf("a peer that does nothing else: %v", err)
		}
	})
}

// MS-5: what comes again is dropped and acknowledged again, at once.
func TestMS5DuplicatesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVictim(t)
		far := v.far()
		var stream []byte
		for i := range uint64(4) {
			stream = append(stream, dataFrame(i+1, 0, message(wire.Send, i+1, "").Append(nil))...)
		}
		_, conn := v.say(v.resume(func(*wire.Hello) {}), stream)
		defer conn.Close()
		if typ, b := readFrame(conn); typ != wire.FrameAck || b[7] != 4 {
			t.Errorf("told %d %v", typ, b)
		}
		if got := v.atB.calls(); !slices.Equal(got, upTo(4)) || far.Status().Duplicates != 3 {
			t.Errorf("got %v, %+v", got, far.Status())
		}
	})
}

// MS-1: a frame whose acknowledgement is refused was not taken: it may come
// again, and is handed over then, once.
func TestMS1AcknowledgementRefusedLosesNothing(t *testing.T) {
	body := filled(2 * wire.ChunkSize)
	chunk := func(seq, ack uint64, b []byte) []byte {
		return append(wire.AppendChunk(nil, wire.Chunk{Seq: seq, Ack: ack, Transfer: 1, Size: uint64(len(body))}, len(b)), b...)
	}
	for name, frames := range map[string]func(ack uint64) [][]byte{
		"a message": func(ack uint64) [][]byte {
			return [][]byte{dataFrame(4, ack, message(wire.Send, 4, "").Append(nil))}
		},
		"a chunk": func(ack uint64) [][]byte {
			e := message(wire.Send, 4, "").AppendHeader(nil)
			last := wire.AppendBulk(nil, len(e), wire.Data{Seq: 6}, wire.Apart{Transfer: 1})
			return [][]byte{chunk(4, ack, body[:wire.ChunkSize]), chunk(5, 0, body[wire.ChunkSize:]), append(last, e...)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVictim(t)
				far := v.far()
				_, conn := v.say(v.resume(func(*wire.Hello) {}), frames(99)[0])
				synctest.Wait()
				conn.Close()
				answer, conn := v.say(v.resume(func(*wire.Hello) {}), slices.Concat(frames(0)...))
				defer conn.Close()
				synctest.Wait()
				if got := v.atB.calls(); answer.Received != 3 || !slices.Equal(got, upTo(4)) || far.Status().Malformed != 0 {
					t.Errorf("b has %d frames, handed over %v: %+v", answer.Received, got, far.Status())
				}
				if e := v.atB.got[len(v.atB.got)-1]; name == "a chunk" && !slices.Equal(e.Body, body) {
					t.Errorf("%d bytes came, want %d", len(e.Body), len(body))
				}
			})
		})
	}
}

// TestFlowsOfALiar uses flows that stand for nothing.
func TestMS8FlowsOfALiar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVictim(t)
		far := v.far()
		e := message(wire.Send, 4, "")
		frame := func(seq uint64, flow wire.Flow) []byte {
			b := e.Append(nil)
			return append(wire.AppendData(nil, len(b), seq, 0, flow), b...)
		}
		stream := slices.Concat(frame(4, 3), frame(5, wire.MaxFlow+1), frame(6, wire.FlowDefine), frame(7, 1<<15-1), frame(8, wire.FlowDefine|2))
		_, conn := v.say(v.resume(func(*wire.Hello) {}), stream)
		defer conn.Close()
		synctest.Wait()
		if st := far.Status(); st.Malformed != 4 || len(v.atB.calls()) != 4 {
			t.Errorf("%+v, got %v", st, v.atB.calls())
		}
	})
}

// golden1 is the hello of version 1 of proc h/n~0000000000000001, epoch 2,
// token "secret", address mem:x, frames of 16 MiB, as version 1 said it.
const golden1 = "\x00\x00\x00\x27\x01" + "\x01" + "\x01h\x01n\x00\x00\x00\x00\x00\x00\x00\x01" +
	"\x00\x00\x00\x00\x00\x00\x00\x02" + "\x06secret" + "\x05mem:x" + "\x80\x80\x80\x08"

// TestMS8VersionSkew has the previous release talk to ours, both ways.
func TestMS8VersionSkew(t *testing.T) {
	token := func(p channel.Peer) error {
		if string(p.Token) != "secret" {
			return errors.New("wrong token")
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		defer near.Close()
		near.Write([]byte(golden1))
		_, err := new(channel.Hub).Accept(t.Context(), far, channel.Config{Hello: wire.Hello{Peer: procB}, Check: token})
		if v, ok := errors.AsType[*wire.VersionError](err); !ok || v.Theirs != 1 || v.Ours != 2 {
			t.Errorf("we say %v", err)
		}
		// Version 1 reads this as its own Close frame: acknowledgement, code, text.
		typ, b := readFrame(near)
		if text := string(b[9:]); typ != 4 || b[8] != 3 || !strings.Contains(text, "version 1") || !strings.Contains(text, "version 2") {
			t.Errorf("version 1 hears type %d, %q", typ, b)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		near, far := memPair(t, plain)
		var wg sync.WaitGroup
		wg.Go(func() { // version 1 finds no token where it looks for one, and says nothing
			readFrame(far)
			far.Close()
		})
		_, err := channel.Dial(t.Context(), only(near), "", channel.Config{Hello: wire.Hello{Peer: procA}, Check: token})
		if err == nil || !strings.Contains(err.Error(), "does not speak version 2") {
			t.Errorf("we say %v", err)
		}
		wg.Wait()
	})
}

// prover is a connection that knows who is at its other end.
type prover struct {
	net.Conn
	peer   id.Proc
	shaken bool
}

func (c *prover) HandshakeContext(context.Context) error { c.shaken = true; return nil }

func (c *prover) VerifyPeer(p id.Proc) error {
	if !c.shaken || p != c.peer {
		return errors.New("the certificate names somebody else")
	}
	return nil
}

// MS-15: who the peer is, the connection says, if it can.
func TestMS15ProvenPeer(t *testing.T) {
	for _, claimed := range []id.Proc{procA, procB} {
		synctest.Test(t, func(t *testing.T) {
			near, far := memPair(t, plain)
			defer near.Close()
			hello, _ := wire.Hello{Version: wire.Version, Peer: claimed, Session: 1}.Append(nil)
			near.Write(hello)
			var seen channel.Peer
			s, err := new(channel.Hub).Accept(t.Context(), &prover{Conn: far, peer: procA}, channel.Config{
				Hello: wire.Hello{Peer: procB}, Check: func(p channel.Peer) error { seen = p; return nil },
			})
			switch {
			case claimed != procA:
				if err == nil || !strings.Contains(err.Error(), "somebody else") {
					t.Errorf("an impostor: %v", err)
				}
			case err != nil || !seen.Proven || !s.Peer().Proven:
				t.Errorf("got %+v, %v", seen, err)
			default:
				s.Abort(net.ErrClosed)
			}
		})
	}
}
