package keeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/tree"
	"github.com/hyperactor/hyperactor/wire"
)

// The host and its keeper talk over a socket pair: requests down, events up.
// Each side begins with a hello. A frame is the length of the message in 4
// bytes, the number of descriptors that come with it in 1, and its CBOR.

// version is that of the protocol; the first message of both sides has it.
const version = 1

// maxFiles is how many descriptors one message can bring.
const maxFiles = 3

// maxMessage is more than the arguments and the environment that the kernel
// takes: three quarters of 8 MiB.
const maxMessage = 8 << 20

// errProtocol is data that does not follow the protocol.
var errProtocol = errors.New("broken message between host and keeper")

// request is what the host wants. Exactly one of the pointers is set.
type request struct {
	ID     uint64   `cbor:",omitempty"` // of the process that it is about
	Hello  *hello   `cbor:",omitempty"`
	Start  *start   `cbor:",omitempty"` // with stdout, stderr and perhaps the control
	Signal *signals `cbor:",omitempty"`
}

// event is what the keeper has to tell. Exactly one of the pointers is set.
type event struct {
	ID      uint64   `cbor:",omitempty"`
	Hello   *hello   `cbor:",omitempty"`
	Started *started `cbor:",omitempty"` // with the pidfd
	Failed  *failed  `cbor:",omitempty"`
	Ended   *ended   `cbor:",omitempty"`
	Bye     *bye     `cbor:",omitempty"`
}

// bye says that the keeper is about to end, and that it has not read what is
// not answered by now.
type bye struct{}

type hello struct {
	Version            int
	Records            string `cbor:",omitempty"`
	WithoutGroupSignal bool   `cbor:",omitempty"`
	WithoutCgroups     bool   `cbor:",omitempty"`
	Problem            string `cbor:",omitempty"` // why the keeper cannot work
}

type start struct {
	Path      string
	Argv, Env []string
	Remote    bool `cbor:",omitempty"`
	Dir       string
	Limits    launch.Limits
	Mark      string // what tells a descendant of this process
	Seen      uint64 // how many ends the host has been told so far
}

func (s *start) program() launch.Program {
	return launch.Program{Path: s.Path, Argv: s.Argv, Remote: s.Remote}
}

type signals struct {
	Numbers []int
}

type started struct {
	PID   int // in the keeper's namespace
	At    int64
	Group bool // the kernel signals its group through the pidfd
}

// failed is a start that failed: an errno, or what the launcher said.
type failed struct {
	Errno  int           `cbor:",omitempty"`
	Op     string        `cbor:",omitempty"`
	Reason launch.Reason `cbor:",omitempty"`
	Detail string        `cbor:",omitempty"`
	Text   string
}

// ended is the end of a process, after it was swept.
type ended struct {
	At        int64
	End       tree.End
	Unknown   string `cbor:",omitempty"` // End.Err
	Swept     int    `cbor:",omitempty"`
	Survivors int    `cbor:",omitempty"`
}

// refusal puts the error of a start into a message.
func refusal(err error) *failed {
	f := &failed{Text: err.Error()}
	if e, ok := errors.AsType[*launch.StartError](err); ok {
		f.Op, f.Reason, f.Detail = e.Op, e.Reason, e.Detail
		if e.Err != nil {
			f.Text = e.Err.Error()
		} else {
			f.Text = ""
		}
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		f.Errno = int(errno)
	}
	return f
}

// err is the error again: launch.Explain makes a StartError of it.
func (f *failed) err(path string) error {
	cause := error(nil)
	switch errno := syscall.Errno(f.Errno); {
	case f.Errno != 0 && f.Text != errno.Error():
		cause = &deepError{f.Text, errno}
	case f.Errno != 0:
		cause = errno
	case f.Text != "":
		cause = errors.New(f.Text)
	}
	if f.Op != "" {
		return &launch.StartError{Op: f.Op, Path: path, Reason: f.Reason, Detail: f.Detail, Err: cause}
	}
	return cause
}

// deepError is an errno that came with words.
type deepError struct {
	text  string
	errno syscall.Errno
}

func (e *deepError) Error() string { return e.text }
func (e *deepError) Unwrap() error { return e.errno }

// report puts the end of a process into a message.
func report(end tree.End, at time.Time, swept, survivors int) *ended {
	e := &ended{At: at.UnixNano(), End: end, Swept: swept, Survivors: survivors}
	if end.Err != nil {
		e.Unknown, e.End.Err = end.Err.Error(), nil
	}
	return e
}

// end is the end of the process again.
func (e *ended) end() tree.End {
	end := e.End
	if e.Unknown != "" {
		end.Err = errors.New(e.Unknown)
	}
	return end
}

const headLen = 5

// frame is one message as it is transported.
type frame struct {
	body  []byte
	files int
}

// appendFrame encodes a message.
func appendFrame(b []byte, v any, files int) ([]byte, error) {
	body, err := wire.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(body) > maxMessage {
		return nil, fmt.Errorf("message of %d bytes, at most %d are allowed: %w", len(body), maxMessage, syscall.E2BIG)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(append(b, byte(files)), body...), nil
}

// cutFrame takes the first frame off b. If b does not hold all of it, need is
// how long b has to be.
func cutFrame(b []byte) (f frame, rest []byte, need int, err error) {
	if len(b) < headLen {
		return frame{}, b, headLen, nil
	}
	n := binary.BigEndian.Uint32(b)
	if n > maxMessage || b[4] > maxFiles {
		return frame{}, b, 0, fmt.Errorf("%w: %d bytes with %d descriptors", errProtocol, n, b[4])
	}
	if end := headLen + int(n); len(b) >= end {
		return frame{body: b[headLen:end], files: int(b[4])}, b[end:], 0, nil
	}
	return frame{}, b, headLen + int(n), nil
}

// decode reads the message of a frame and checks that it is one.
func decode[M request | event](f frame) (m M, err error) {
	if err := wire.Unmarshal(f.body, &m); err != nil {
		return m, fmt.Errorf("%w: %w", errProtocol, err)
	}
	set, files := 0, 0
	switch m := any(m).(type) {
	case request:
		set, files = count(m.Hello != nil, m.Start != nil, m.Signal != nil), f.files
		if m.Start != nil && (files == 2 || files == 3) {
			files = 0
		}
	case event:
		set, files = count(m.Hello != nil, m.Started != nil, m.Failed != nil, m.Ended != nil, m.Bye != nil), f.files
		if m.Started != nil {
			files--
		}
	}
	if set != 1 || files != 0 {
		return m, fmt.Errorf("%w: a message of %d kinds, with %d descriptors", errProtocol, set, f.files)
	}
	return m, nil
}

func count(all ...bool) (n int) {
	for _, is := range all {
		if is {
			n++
		}
	}
	return n
}
