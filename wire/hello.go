package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hyperactor/hyperactor/id"
)

// Version is the version of everything in this package.
const Version = 2

// MaxHello is the size of a hello, which is read before its sender is known.
const MaxHello = 4 << 10

// Hello is the first thing each side says on every connection.
type Hello struct {
	Version int
	Peer    id.Proc // who speaks
	To      id.Proc // whom the dialer wants to reach; zero if it is whoever listens there
	Epoch   uint64  // differs in each life of the speaker, so that nothing is resumed across a restart (MS-6)
	Token   []byte  // what shows that the speaker belongs to us
	Addr    string  // where the speaker listens; may be empty
	Limits  Limits  // what the speaker accepts

	Session   uint64        // which session this connection is for; its dialer chose the number
	Received  uint64        // number of the last frame that the speaker has (MS-5)
	Resume    bool          // the dialer continues the session; the other side does, too
	Local     bool          // both sides are on one machine: its kernel tells of every death
	ResumeFor time.Duration // how long the speaker keeps a session without a connection; whole milliseconds
	Window    uint32        // bytes that the speaker sends ahead of acknowledgements
}

// VersionError says that two sides cannot talk.
type VersionError struct{ Ours, Theirs int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("version mismatch: we speak version %d of the protocol, the peer speaks version %d", e.Ours, e.Theirs)
}

// CheckVersion returns a *VersionError unless h comes from our version.
func (h Hello) CheckVersion() error {
	if h.Version != Version {
		return &VersionError{Ours: Version, Theirs: h.Version}
	}
	return nil
}

// The binary form of a hello is laid out by hand, like that of an envelope: it
// is the first thing that a new process does, and a codec that works by
// reflection costs it a millisecond's tenth. The first part is the same in all
// versions, so that each can find out whom it refuses, and say why:
//
//	version        uvarint
//	peer           proc
//	epoch          8 bytes
//	token, addr    strings
//	max frame      uvarint
//
// The rest belongs to this version:
//
//	session        8 bytes
//	received       uvarint
//	flags          one byte: 1 resume, 2 local
//	resume for     uvarint, in milliseconds
//	window         uvarint
//	max bulk       uvarint
//	to             proc, or zero
const (
	flagResume = 1 << iota
	flagLocal
)

// Append appends h as a frame.
func (h Hello) Append(b []byte) ([]byte, error) {
	body := binary.AppendUvarint(nil, uint64(h.Version))
	body = appendProc(body, h.Peer)
	body = binary.BigEndian.AppendUint64(body, h.Epoch)
	body = appendString(body, string(h.Token))
	body = appendString(body, h.Addr)
	body = binary.AppendUvarint(body, uint64(h.Limits.MaxFrame))
	body = binary.BigEndian.AppendUint64(body, h.Session)
	body = binary.AppendUvarint(body, h.Received)
	body = append(body, h.flags())
	body = binary.AppendUvarint(body, uint64(max(h.ResumeFor, 0).Milliseconds()))
	body = binary.AppendUvarint(body, uint64(h.Window))
	body = binary.AppendUvarint(body, uint64(h.Limits.MaxBulk))
	body = appendProc(body, h.To)
	if len(body) > MaxHello {
		return nil, fmt.Errorf("hello: %w: %d bytes, at most %d are allowed", TooLarge, len(body), MaxHello)
	}
	return append(appendFrameHeader(b, FrameHello, len(body)), body...), nil
}

func (h Hello) flags() byte {
	var flags byte
	if h.Resume {
		flags |= flagResume
	}
	if h.Local {
		flags |= flagLocal
	}
	return flags
}

// ParseHello reads what follows the header of a Hello frame. Of one that has
// another version only what all versions have in common is known.
func ParseHello(b []byte) (Hello, error) {
	r := reader{rest: b, dec: new(Decoder)}
	version := r.uvarint()
	h := Hello{Version: int(min(version, math.MaxInt32)), Peer: r.proc(), Epoch: r.uint64()}
	h.Token = slices.Clone(r.string(MaxHello))
	h.Addr = string(r.string(MaxHello))
	h.Limits = Limits{MaxFrame: r.uint32()}.WithDefaults()
	if version == Version {
		r.session(&h)
	}
	if r.fault != "" {
		return Hello{}, fmt.Errorf("hello: %w: %s", Malformed, r.fault)
	}
	return h, nil
}

// session reads the part of h that belongs to this version.
func (r *reader) session(h *Hello) {
	h.Session = r.uint64()
	h.Received = r.uvarint()
	flags := r.byte()
	h.Resume, h.Local = flags&flagResume != 0, flags&flagLocal != 0
	h.ResumeFor = time.Duration(r.uint32()) * time.Millisecond
	h.Window = r.uint32()
	h.Limits.MaxBulk = r.uint32()
	h.Limits = h.Limits.WithDefaults()
	if len(r.rest) == 1 && r.rest[0] == 0 {
		r.rest = nil
	} else {
		h.To = r.proc()
	}
	switch {
	case r.fault != "":
	case len(r.rest) > 0:
		r.fail("too much of it")
	case flags&^(flagResume|flagLocal) != 0:
		r.fail("a flag is not known")
	case h.Session == 0:
		r.fail("it is for no session")
	}
}

// uint32 reads a uvarint that fits into 32 bits.
func (r *reader) uint32() uint32 {
	n := r.uvarint()
	if n > math.MaxUint32 {
		r.fail("a number is too large")
		return 0
	}
	return uint32(n)
}
