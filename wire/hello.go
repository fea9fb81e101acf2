package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/hyperactor/hyperactor/id"
)

// Version is the version of everything in this package.
const Version = 1

// MaxHello is the size of a hello, which is read before its sender is known.
const MaxHello = 4 << 10

// Hello is the first thing each side says.
type Hello struct {
	Version int
	Peer    id.Proc // who speaks
	Epoch   uint64  // differs in each life of the speaker, so that nothing is resumed across a restart (MS-6)
	Token   []byte  // what shows that the speaker belongs to us
	Limits  Limits  // what the speaker accepts
	Addr    string  // where the speaker listens; may be empty
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
// reflection costs it a millisecond's tenth. The version comes first and alone
// decides what the rest means:
//
//	version        uvarint
//	peer           proc
//	epoch          8 bytes
//	token, addr    strings
//	max frame      uvarint

// Append appends h as a frame.
func (h Hello) Append(b []byte) ([]byte, error) {
	body := binary.AppendUvarint(nil, uint64(h.Version))
	body = appendProc(body, h.Peer)
	body = binary.BigEndian.AppendUint64(body, h.Epoch)
	body = appendString(body, string(h.Token))
	body = appendString(body, h.Addr)
	body = binary.AppendUvarint(body, uint64(h.Limits.MaxFrame))
	if len(body) > MaxHello {
		return nil, fmt.Errorf("hello: %w: %d bytes, at most %d are allowed", TooLarge, len(body), MaxHello)
	}
	return append(appendFrameHeader(b, FrameHello, len(body)), body...), nil
}

// ParseHello reads what follows the header of a Hello frame. Of one that has
// another version only that is known.
func ParseHello(b []byte) (Hello, error) {
	r := reader{rest: b, dec: new(Decoder)}
	version := r.uvarint()
	if r.fault == "" && version != Version {
		return Hello{Version: int(min(version, math.MaxInt32))}, nil
	}
	h := Hello{Version: Version, Peer: r.proc(), Epoch: r.uint64()}
	h.Token = slices.Clone(r.string(MaxHello))
	h.Addr = string(r.string(MaxHello))
	frame := r.uvarint()
	if r.fault == "" && (len(r.rest) > 0 || frame > math.MaxUint32) {
		r.fail("too much of it")
	}
	if r.fault != "" {
		return Hello{}, fmt.Errorf("hello: %w: %s", Malformed, r.fault)
	}
	h.Limits = Limits{MaxFrame: uint32(frame)}.WithDefaults()
	return h, nil
}
