package cable

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// TestRealGarbage has the wire say things that nobody sent, and a host say
// things that no peer says (rows 94 and 103), while two others talk.
func TestRealGarbage(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	a, b := f.nodes[0], f.nodes[1]
	a.knows(b)
	loads := []Load{{To: b.id(), From: "there", First: 1, Count: 2000, Size: 500, Every: time.Millisecond}}
	sent := a.sends(loads[0])
	chance := rand.New(rand.NewPCG(*seed, 0))
	for range 1000 {
		f.cable.Inject(0, 1, forged(chance, f.cable.Addr(0).As4(), f.cable.Addr(1).As4()))
	}
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // TLS
		"\xff\xff\xff\xff\x01",                         // 4 GiB of hello
		"\x00\x00\x00\x01\x01",                         // an empty hello
		"\x00\x00\x00\x09\x03\x00\x00\x00\x00\x00\x00\x00\x01",
	} {
		f.refused(b, text)
	}
	sent()
	a.settled(&loads, b)
	b.handled(loads...)
	if s := b.stats(); s.Refused < 5 {
		t.Errorf("got %+v, want 5 strangers refused", s)
	}
}

// TestRealResets breaks connections in the middle of what they carry, hello or
// messages (row 103): the session goes on over another one, and nothing is lost
// or comes twice.
func TestRealResets(t *testing.T) { overEach(t, resetsInTheMiddle) }

func resetsInTheMiddle(f *fleet) {
	a, b := f.nodes[0], f.nodes[1]
	a.knows(b)
	there := []Load{{To: b.id(), From: "there", First: 1, Count: 8000, Size: 1000, Every: time.Millisecond}}
	sent := a.sends(there[0])
	b.awaitHandled("there", 10)
	back := []Load{{To: a.id(), From: "back", First: 1, Count: 8000, Size: 1000, Every: time.Millisecond}}
	sentBack := b.sends(back[0])
	broken := 0
	for i := range 40 {
		if !f.breaks(i%2, 1-i%2) {
			continue // it hit the last words of a connection that was broken before, or all has been said
		}
		broken++
		if i%4 > 0 { // otherwise the next one breaks hello
			before := f.cable.Stats(0, 1).Offered
			f.becomes(time.Second, 0, 1, func(s Stats) bool { return s.Offered > before+50 })
		}
	}
	if broken < 10 {
		f.Errorf("%d connections were broken, want 10 and more", broken)
	}
	sent()
	sentBack()
	a.settled(&there, b)
	b.settled(&back, a)
	b.handled(there...)
	a.handled(back...)
}

// breaks resets a connection and reports whether the dialer has made another one.
func (f *fleet) breaks(from, to int) bool {
	before := f.cable.Stats(0, 1).SYN
	f.cable.Reset(from, to)
	return f.becomes(time.Second, 0, 1, func(s Stats) bool { return s.SYN > before })
}

// forged returns a TCP packet to the port of the nodes whose flags, numbers
// and checksum are made up.
func forged(chance *rand.Rand, from, to [4]byte) []byte {
	b := make([]byte, 40+chance.IntN(100))
	for i := range b {
		b[i] = byte(chance.Uint32())
	}
	b[0], b[6], b[7], b[8], b[9] = 0x45, 0, 0, 64, protocolTCP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[22:], 7000)
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], checksum(b[:ipv4Header]))
	return b
}

// refused says something to a node from the last host, and waits until the node
// has closed the connection.
func (f *fleet) refused(n *node, text string) {
	f.Helper()
	var err error
	var answer []byte
	dial := f.cable.In(len(f.nodes)-1, func() error {
		c, dialErr := dialHere(n.cfg.Listen.Address())
		if dialErr != nil {
			return dialErr
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(15 * time.Second))
		if _, err = c.Write([]byte(text)); err == nil {
			answer, err = io.ReadAll(c)
		}
		return nil
	})
	if dial != nil {
		f.Error(dial)
	}
	if timeout, ok := err.(interface{ Timeout() bool }); ok && timeout.Timeout() {
		f.Errorf("%q: the connection is still open after 15 s", text)
	}
	if len(answer) > 0 {
		f.Errorf("%q was answered with %q", text, answer)
	}
}
