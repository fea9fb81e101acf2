package capture

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watch returns a bell that rings when something changes in a directory,
// whichever process does it.
func watch(dir string) (*bell, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w (see fs.inotify.max_user_instances)", dir, err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	const events = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	if _, err := unix.InotifyAddWatch(fd, dir, events|unix.IN_ONLYDIR); err != nil {
		f.Close()
		return nil, fmt.Errorf("follow %s: %w", dir, err)
	}
	b := newBell()
	var wg sync.WaitGroup
	wg.Go(func() { ringEvents(f, b) })
	b.stop = func() {
		f.Close() // ends the read
		wg.Wait()
	}
	return b, nil
}

// ringEvents rings b for what f reports, until f is closed.
func ringEvents(f *os.File, b *bell) {
	buf := make([]byte, 16<<10)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return
		}
		mask := what(buf[:n])
		if mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED) != 0 {
			b.deaf.Store(true)
		}
		b.ring(mask&^unix.IN_MODIFY != 0)
	}
}

// what returns the kinds of all events together.
func what(events []byte) (mask uint32) {
	for len(events) >= unix.SizeofInotifyEvent {
		mask |= binary.NativeEndian.Uint32(events[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		events = events[min(size, len(events)):]
	}
	return mask
}
