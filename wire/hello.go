package wire

import (
	"fmt"

	"github.com/hyperactor/hyperactor/id"
)

// Version is the version of everything in this package.
const Version = 1

// MaxHello is the size of a hello, which is read before its sender is known.
const MaxHello = 4 << 10

// Hello is the first thing each side says.
type Hello struct {
	Version int     `cbor:"1,keyasint"`
	Peer    id.Proc `cbor:"2,keyasint"` // who speaks
	Epoch   uint64  `cbor:"3,keyasint"` // differs in each life of the speaker, so that nothing is resumed across a restart (MS-6)
	Token   []byte  `cbor:"4,keyasint"` // what shows that the speaker belongs to us
	Limits  Limits  `cbor:"5,keyasint"` // what the speaker accepts
	Addr    string  `cbor:"6,keyasint"` // where the speaker listens; may be empty
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

// Append appends h as a frame.
func (h Hello) Append(b []byte) ([]byte, error) {
	body, err := Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	if len(body) > MaxHello {
		return nil, fmt.Errorf("hello: %w: %d bytes, at most %d are allowed", TooLarge, len(body), MaxHello)
	}
	return append(appendFrameHeader(b, FrameHello, len(body)), body...), nil
}

// ParseHello reads what follows the header of a Hello frame.
func ParseHello(b []byte) (Hello, error) {
	var h Hello
	if err := Unmarshal(b, &h); err != nil {
		return Hello{}, fmt.Errorf("hello: %w: %w", Malformed, err)
	}
	if h.Peer.IsZero() {
		return Hello{}, fmt.Errorf("hello: %w: it names no proc", Malformed)
	}
	h.Limits = h.Limits.WithDefaults()
	return h, nil
}
