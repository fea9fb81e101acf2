// Package handshake is what a host and its child process say to each other over
// the control connection, which the child inherits (PS-5). The host begins with a
// Boot, the child answers with Notes: the first says that it is ready or why it
// cannot be, a later one why it is about to end. A Note that has a Key is answered
// with a Grant.
//
// The messages are laid out by hand, like a wire.Hello: they are the first thing
// that a new process does, and a codec that works by reflection costs it a tenth of
// a millisecond.
package handshake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Version is that of this package. Both sides have to speak the same one. Of a
// Boot or a Note with another one only the version is read: it comes first in all
// versions.
const Version = 2

// Boot is what the host tells its child.
type Boot struct {
	Version int
	Once    []byte       // to be repeated, once: whoever answers has read this
	Token   []byte       // for the hello of every session
	Proc    id.Proc      // who the child is
	Host    id.Proc      // the host's service proc
	Back    channel.Addr // where the host's gateway listens for it
	Listen  channel.Addr // where the child has to listen
	Limits  wire.Limits
	Grants  bool // the host answers a Note that has a Key
}

// Note is what the child tells its host.
type Note struct {
	Version int
	Once    []byte
	Addr    channel.Addr // where it listens; empty if Failure says why it does not
	Crash   int          // its descriptor of the file that has its crash; 0: none
	Failure string       // why it ends
	Key     []byte       // a public key that the host is to certify as that of the child
	Ask     uint64       // the number of that, repeated in the Grant
}

// Grant is what the host answers to a Note that has a Key.
type Grant struct {
	Ask     uint64
	Grant   []byte // what Config.Issue returned
	Failure string // why there is none
}

// MaxMessage bounds a message, in bytes.
const MaxMessage = 64 << 10

// ErrMalformed is what Read returns for what is no message.
var ErrMalformed = errors.New("malformed message")

// message is a *Boot, a *Note or a *Grant.
type message interface {
	append(b []byte) []byte
	parse(f *fields)
}

// Write writes one message: its length in 4 bytes, and its fields.
func Write(w io.Writer, m message) error {
	b := m.append(make([]byte, 4, 512))
	if n := len(b) - 4; n > MaxMessage {
		return fmt.Errorf("control message of %d bytes, at most %d are allowed", n, MaxMessage)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err := w.Write(b)
	return err
}

// Read reads one message into m. The end of the connection before its first byte
// is io.EOF.
func Read(r io.Reader, m message) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxMessage {
		return fmt.Errorf("%w: a message of %d bytes", ErrMalformed, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	f := fields{rest: body}
	m.parse(&f)
	if f.fault != "" {
		return fmt.Errorf("%w: %s", ErrMalformed, f.fault)
	}
	return nil
}

func (b *Boot) append(to []byte) []byte {
	to = appendNumber(to, b.Version)
	to = appendBytes(to, b.Once)
	to = appendBytes(to, b.Token)
	to = appendProc(to, b.Proc)
	to = appendProc(to, b.Host)
	to = appendBytes(to, b.Back)
	to = appendBytes(to, b.Listen)
	to = appendNumber(to, b.Limits.MaxFrame)
	to = appendNumber(to, b.Limits.MaxBulk)
	if b.Grants {
		return append(to, 1)
	}
	return append(to, 0)
}

func (b *Boot) parse(f *fields) {
	*b = Boot{Version: int(f.number(math.MaxInt32))}
	if b.Version != Version {
		return
	}
	b.Once, b.Token = f.bytes(), f.bytes()
	b.Proc, b.Host = f.proc(), f.proc()
	b.Back, b.Listen = channel.Addr(f.bytes()), channel.Addr(f.bytes())
	b.Limits = wire.Limits{MaxFrame: uint32(f.number(math.MaxUint32)), MaxBulk: uint32(f.number(math.MaxUint32))}
	b.Grants = f.number(1) == 1
	f.end()
}

func (n *Note) append(to []byte) []byte {
	to = appendNumber(to, n.Version)
	to = appendBytes(to, n.Once)
	to = appendBytes(to, n.Addr)
	to = appendNumber(to, n.Crash)
	to = appendBytes(to, n.Failure)
	to = appendBytes(to, n.Key)
	return appendNumber(to, n.Ask)
}

func (n *Note) parse(f *fields) {
	*n = Note{Version: int(f.number(math.MaxInt32))}
	if n.Version != Version {
		return
	}
	n.Once, n.Addr = f.bytes(), channel.Addr(f.bytes())
	n.Crash = int(f.number(math.MaxInt32))
	n.Failure, n.Key = string(f.bytes()), f.bytes()
	n.Ask = f.number(math.MaxUint64)
	f.end()
}

func (g *Grant) append(to []byte) []byte {
	to = appendNumber(to, g.Ask)
	to = appendBytes(to, g.Grant)
	return appendBytes(to, g.Failure)
}

func (g *Grant) parse(f *fields) {
	*g = Grant{Ask: f.number(math.MaxUint64), Grant: f.bytes(), Failure: string(f.bytes())}
	f.end()
}
