package channel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// unixTransport is unix sockets in private directories, with peers of our own
// user or root only (MS-15).
type unixTransport struct{}

// maxUnixPath is what fits into a sockaddr_un on every platform, with the
// final zero: 108 bytes on Linux, 104 on darwin.
const maxUnixPath = len(syscall.RawSockaddrUnix{}.Path) - 1

func (unixTransport) Dial(ctx context.Context, path string) (net.Conn, error) {
	if err := checkPathLength(path); err != nil {
		return nil, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(c); err != nil {
		c.Close()
		return nil, err
	}
	return widen(c), nil
}

func (unixTransport) Listen(_ context.Context, path string) (net.Listener, error) {
	if err := checkPathLength(path); err != nil {
		return nil, err
	}
	if err := privateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	l, err := listenUnix(path)
	if err != nil {
		return nil, err
	}
	return credListener{l}, nil
}

// Local says that peers are on this machine.
func (unixTransport) Local() bool { return true }

func checkPathLength(path string) error {
	if len(path) > maxUnixPath {
		return fmt.Errorf("path %s has %d bytes, a unix socket can have %d: use a shorter directory", path, len(path), maxUnixPath)
	}
	return nil
}

// privateDir creates dir with mode 0700, or checks that it is a directory of
// ours that nobody else can enter.
func privateDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st := fi.Sys().(*syscall.Stat_t)
	if !fi.IsDir() || fi.Mode().Perm() != 0o700 || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("directory %s is not private: %v, owner %d; want drwx------ and owner %d", dir, fi.Mode(), st.Uid, os.Geteuid())
	}
	return nil
}

// credListener accepts only connections from our own user or root.
type credListener struct{ net.Listener }

// Accept skips over peers that it refuses.
func (l credListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if checkPeer(c) == nil {
			return widen(c), nil
		}
		c.Close()
	}
}

// unixBuffer is how much a socket may hold that the peer has not read. With
// what systems give by default, both sides wait for each other several times in
// a large message.
const unixBuffer = 256 << 10

// widen gives c that buffer, as far as the system allows it.
func widen(c net.Conn) net.Conn {
	c.(*net.UnixConn).SetWriteBuffer(unixBuffer) // with a smaller one c is only slower
	return c
}

func checkPeer(c net.Conn) error {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var uid uint32
	var credErr error
	if err := raw.Control(func(fd uintptr) { uid, credErr = peerUID(int(fd)) }); err != nil {
		return err
	}
	if credErr != nil {
		return fmt.Errorf("who is the peer: %w", credErr)
	}
	if uid != 0 && int(uid) != os.Geteuid() {
		return fmt.Errorf("the peer is user %d, want %d or root: %w", uid, os.Geteuid(), fs.ErrPermission)
	}
	return nil
}
