package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// notifySocket is the socket of a Notify. The kernel says with each message
// who has sent it.
type notifySocket struct {
	name string // as in NOTIFY_SOCKET: a path, or '@' and an abstract name
	conn *net.UnixConn
}

// maxSocketPath is what fits into an address, with the zero byte at its end.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// NewNotify makes the socket and listens on it until Close. On other systems
// than linux it returns an errors.ErrUnsupported.
func NewNotify(cfg NotifyConfig) (*Notify, error) {
	s, err := listenNotify(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("probe notify: %w", err)
	}
	n := newNotify(cfg, s)
	n.reader.Go(n.read)
	return n, nil
}

// Close frees the socket and waits until the last message is dealt with. It
// can be repeated.
func (n *Notify) Close() error {
	err := n.socket.close()
	n.reader.Wait()
	return err
}

// read takes in messages until the socket is closed.
func (n *Notify) read() {
	defer close(n.done)
	buf := make([]byte, MaxMessage+1)
	oob := make([]byte, oobBytes())
	for {
		got, gotOOB, flags, _, err := n.socket.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return // of a datagram socket that nobody has connected, only its end
		}
		pid, fds := ancillary(oob[:gotOOB])
		if string(buf[:got]) != barrier {
			n.take(time.Now(), pid, buf[:got], got <= MaxMessage && flags&syscall.MSG_TRUNC == 0)
		}
		for _, fd := range fds {
			_ = syscall.Close(fd) // also tells who waits for a BARRIER that its messages were taken
		}
	}
}

// barrier is the whole of a message whose sender waits, at the descriptor that
// comes with it, until what it has sent before was taken: sd_notify_barrier(3).
const barrier = "BARRIER=1"

// catchUp returns when the messages were taken that are there by now; without
// a socket there are none. Without the descriptors that it takes, those that
// were not are late.
func (s *notifySocket) catchUp() {
	if s == nil {
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	defer r.Close()
	ourselves := &net.UnixAddr{Net: "unixgram", Name: s.name}
	_, _, err = s.conn.WriteMsgUnix([]byte(barrier), syscall.UnixRights(int(w.Fd())), ourselves)
	_ = w.Close() // the message has a copy
	if err == nil {
		_, _ = r.Read(make([]byte, 1)) // to its end
	}
}

func listenNotify(path string) (*notifySocket, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("path %q of the socket has %d bytes, at most %d are possible: use a shorter one", path, len(path), maxSocketPath)
	}
	name := path
	if name == "" {
		name = "@hyperactor-notify-" + rand.Text()
	}
	lc := net.ListenConfig{Control: passCredentials}
	pc, err := lc.ListenPacket(context.Background(), "unixgram", name)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: there is a file already: use another path", err)
		}
		return nil, err
	}
	s := &notifySocket{name: name, conn: pc.(*net.UnixConn)}
	if path == "" {
		return s, nil
	}
	// Whoever the process runs as has to be able to write.
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// passCredentials is called before the socket has a name, so that no message
// comes without its sender.
func passCredentials(_, _ string, rc syscall.RawConn) error {
	var failed error
	err := rc.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1))
	})
	return errors.Join(err, failed)
}

func (s *notifySocket) close() error {
	err := s.conn.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if s.name[0] != '@' {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
}

// oobBytes is room for the sender and for as many descriptors as the kernel
// lets through at once; those without room it would close.
func oobBytes() int {
	const maxDescriptors = 253
	return syscall.CmsgSpace(syscall.SizeofUcred) + syscall.CmsgSpace(4*maxDescriptors)
}

// ancillary returns the sender of a message, 0 if the kernel has no number for
// it here, and the descriptors that came with it.
func ancillary(oob []byte) (pid int, fds []int) {
	controls, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, nil
	}
	for _, c := range controls {
		if cred, err := syscall.ParseUnixCredentials(&c); err == nil {
			pid = int(cred.Pid)
		} else if more, err := syscall.ParseUnixRights(&c); err == nil {
			fds = append(fds, more...)
		}
	}
	return pid, fds
}
