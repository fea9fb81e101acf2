package osproc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// The handshake runs over a socket pair whose other end the child inherits as
// a descriptor (PS-5). The host writes one boot message, the child answers
// with notes: the first says that it is ready or why it cannot be, a later one
// why it is about to end. Afterwards the connection is the lifeline: its end
// tells each side that the other is gone (PS-2). A child that needs a
// certificate of its own asks for it here, in a note, and gets a grant.

// version is that of the handshake. Both sides have to speak the same one.
const version = 1

// controlEnv names the descriptor in the child's environment. The child
// removes it at once, so that no child of its own is taken for a proc (PS-6).
const controlEnv = "HYPERACTOR_CONTROL"

// controlFD is what launch.Spec.Control becomes.
const controlFD = 3

// boot is what the host tells its child.
type boot struct {
	Version int
	Once    []byte       // to be repeated, once: whoever answers has read this
	Token   []byte       // for the hello of every session
	Proc    id.Proc      // who the child is
	Host    id.Proc      // the host's service proc
	Back    channel.Addr // where the host's gateway listens for it
	Listen  channel.Addr // where the child has to listen
	Limits  wire.Limits
	Grants  bool // the host answers a note that has a Key
}

// note is what the child tells its host.
type note struct {
	Version int
	Once    []byte
	Addr    channel.Addr // where it listens; empty if Failure says why it does not
	Crash   int          // its descriptor of the file that has its crash; 0: none
	Failure string       // why it ends
	Key     []byte       // a public key that the host is to certify as that of the child
	Ask     uint64       // the number of that, repeated in the grant
}

// grant is what the host answers to a note that has a Key.
type grant struct {
	Ask     uint64
	Grant   []byte // what Config.Issue returned
	Failure string // why there is none
}

// maxControl bounds a control message.
const maxControl = 64 << 10

// Errors of the handshake (PS-10).
var (
	ErrVersion  = errors.New("host and proc speak different versions of the handshake")
	ErrProtocol = errors.New("the control connection carried something else than the handshake")
	ErrControl  = errors.New("the control connection was closed before the handshake was over")
)

// controlPair returns both ends of a control connection, neither of which is
// inherited by a child that is not given it.
func controlPair() (host, child *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("control connection: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // so that reads have deadlines and cost no thread
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("control connection: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control of child"), nil
}

// writeControl writes one message: its length in 4 bytes, and its CBOR.
func writeControl(w io.Writer, v any) error {
	body, err := wire.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxControl {
		return fmt.Errorf("control message of %d bytes, at most %d are allowed", len(body), maxControl)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	_, err = w.Write(append(b, body...))
	return err
}

// readControl reads one message into v. The end of the connection before its
// first byte is io.EOF.
func readControl(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxControl {
		return fmt.Errorf("%w: a message of %d bytes", ErrProtocol, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	if err := wire.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}
