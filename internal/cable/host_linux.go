package cable

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// newHost makes a network namespace with a device that has that address, in a
// network of 254.
func newHost(addr netip.Addr) (*host, error) {
	namespace, err := newNamespace()
	if err != nil {
		return nil, err
	}
	h := &host{namespace: namespace, wake: make(chan struct{}, 1)}
	err = inside(namespace, func() error {
		if h.device, err = newDevice(); err != nil {
			return err
		}
		return configure(addr)
	})
	if err != nil {
		namespace.Close()
		if h.device != nil {
			h.device.Close()
		}
		return nil, err
	}
	return h, nil
}

// threadNamespace is the network namespace of the calling thread.
const threadNamespace = "/proc/thread-self/ns/net"

// newNamespace returns a network namespace in which there is nothing. It lives
// as long as the file or a process in it.
func newNamespace() (*os.File, error) {
	home, err := os.Open(threadNamespace)
	if err != nil {
		return nil, err
	}
	defer home.Close()
	var namespace *os.File
	err = inside(home, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		namespace, err = os.Open(threadNamespace)
		return err
	})
	return namespace, err
}

// inside runs f on a thread in that network namespace and brings the thread
// back to where it was.
func inside(namespace *os.File, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open(threadNamespace)
	if err != nil {
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("no way back from a network namespace: %v", err))
		}
	}()
	return f()
}

const (
	deviceName = "cable"
	loopback   = "lo"
)

// newDevice makes the device, in the namespace of the thread, and returns its
// other side: it reads what the host sends and writes what it gets, a packet at
// a time.
func newDevice() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(deviceName)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make a TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil // after TUNSETIFF: before it there is nothing to wait for
}

// configure gives the device its address and turns it and loopback on.
func configure(addr netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	network := netip.MustParseAddr("255.255.255.0")
	return errors.Join(
		set(fd, deviceName, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(addr.AsSlice()) }),
		set(fd, deviceName, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(network.AsSlice()) }),
		set(fd, deviceName, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(largest); return nil }),
		set(fd, deviceName, unix.SIOCSIFFLAGS, turnOn),
		set(fd, loopback, unix.SIOCSIFFLAGS, turnOn),
	)
}

func turnOn(r *unix.Ifreq) error {
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return nil
}

// set sets one property of a device; value puts it into the request.
func set(fd int, device string, property uint, value func(*unix.Ifreq) error) error {
	r, err := unix.NewIfreq(device)
	if err == nil {
		err = value(r)
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, property, r)
	}
	if err != nil {
		return fmt.Errorf("set property %#x of device %s: %w", property, device, err)
	}
	return nil
}
