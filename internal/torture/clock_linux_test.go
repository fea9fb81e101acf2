package torture

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wall is the clock of the wall as one agent sees it. The kernel has one such
// clock for the whole machine, so the agent is made to ask us: it is started
// without the vDSO, by which programs read clocks without asking anybody, and a
// filter hands its questions to this process. Clocks that nobody can set, which
// deadlines are to go by, are not touched, nor are the programs it starts.
type wall struct {
	*fixture
	listener int
	ahead    atomic.Int64 // nanoseconds
	served   atomic.Int64
	stop     *os.File
	serving  sync.WaitGroup
}

// withoutVDSO has a program stop at its first instruction, where blind expects it.
func withoutVDSO(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true} }

// blind takes the vDSO from a program that has stopped before its first
// instruction, and lets it go. The thread that has started it must call it.
func blind(pid int) error {
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, 0, nil); err == nil {
			break
		} else if err != unix.EINTR {
			return err
		}
	}
	if !status.Stopped() {
		return fmt.Errorf("the program does not stop: %v", status)
	}
	if err := hideVDSO(pid); err != nil {
		return err
	}
	return unix.PtraceDetach(pid)
}

// hideVDSO overwrites the entry of the auxiliary vector that says where the
// vDSO is. The stack of a new program has its arguments, its environment, each
// up to a zero, and that vector.
func hideVDSO(pid int) error {
	const sysinfoEHDR, ignore = 33, 1
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	sp, err := strconv.ParseUint(fields[25], 10, 64) // startstack
	if err != nil {
		return err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	word := func(at uint64) (uint64, error) {
		var b [8]byte
		_, err := mem.ReadAt(b[:], int64(at))
		return binary.NativeEndian.Uint64(b[:]), err
	}
	zeroes := 0
	for at := sp + 8; ; at += 8 {
		w, err := word(at)
		switch {
		case err != nil:
			return err
		case zeroes < 2 && w == 0:
			zeroes++
		case zeroes == 2 && w == sysinfoEHDR:
			_, err := mem.WriteAt(binary.NativeEndian.AppendUint64(nil, ignore), int64(at))
			return err
		case zeroes == 2:
			at += 8 // its value
		}
	}
}

// askOthers installs a filter by which each question for the time of the wall
// goes to whoever has the descriptor that it returns.
func askOthers() (listener int, err error) {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CLOCK_GETTIME, Jt: 0, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.CLOCK_REALTIME, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	runtime.GC() // so that none begins before there is somebody to answer
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// wall has us answer when the agent, which must have been started without the
// vDSO, asks for the time.
func (a *agent) wall() *wall {
	a.Helper()
	fd, err := strconv.Atoi(a.does("ask-others").Text)
	a.must(err)
	w := &wall{fixture: a.fixture}
	w.listener, err = unix.PidfdGetfd(a.pidfd, fd, 0)
	a.must(err)
	r, stop, err := os.Pipe()
	a.must(err)
	w.stop = stop
	w.serving.Go(func() {
		defer r.Close()
		w.serve(int(r.Fd()))
	})
	a.Cleanup(func() { // before the agent's own end, for which it needs a clock
		a.end(patience)
		stop.Close()
		w.serving.Wait()
		unix.Close(w.listener)
	})
	return w
}

// question and verdict are struct seccomp_notif and seccomp_notif_resp.
type (
	question struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	verdict struct {
		id    uint64
		val   int64
		errno int32
		flags uint32
	}
)

// serve answers until nobody can ask any more, or stop ends.
func (w *wall) serve(stop int) {
	for {
		fds := []unix.PollFd{{Fd: int32(w.listener), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		if fds[1].Revents != 0 || fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var q question
		if !w.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&q)) {
			continue // who asked has died
		}
		now := time.Now().Add(time.Duration(w.ahead.Load()))
		ts := unix.NsecToTimespec(now.UnixNano())
		local := []unix.Iovec{{Base: (*byte)(unsafe.Pointer(&ts)), Len: uint64(unsafe.Sizeof(ts))}}
		remote := []unix.RemoteIovec{{Base: uintptr(q.args[1]), Len: int(unsafe.Sizeof(ts))}}
		_, _ = unix.ProcessVMWritev(int(q.pid), local, remote, 0)
		w.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&verdict{id: q.id}))
		w.served.Add(1)
	}
}

func (w *wall) ioctl(request uintptr, arg unsafe.Pointer) bool {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(w.listener), request, uintptr(arg))
	return errno == 0
}

// set sets the clock so far ahead of the real one.
func (w *wall) set(ahead time.Duration) { w.ahead.Store(int64(ahead)) }

// jumpingClock sets the clock while a host spawns, calls, and stops what does
// not want to stop.
func jumpingClock(f *fixture) {
	const year = 365 * 24 * time.Hour
	a := f.hosting(withoutVDSO)
	a.does("spawn", "first")
	w := a.wall()
	for i, ahead := range []time.Duration{10 * year, -time.Hour, -20 * year} {
		name := fmt.Sprint("p", i)
		a.does("spawn", name)
		a.does("victim", name, "deaf")
		stopping := a.ask("terminate", name, "300ms")
		w.set(ahead)
		seen := a.does("now").Text
		want := time.Now().Add(ahead).UTC().Format("2006-01-02")
		f.want(seen == want, "the agent sees the clock", seen)
		r := a.answer(stopping)
		f.want(killed(r.Exit) && r.Took >= 300*time.Millisecond && r.Took < 3*time.Second,
			fmt.Sprint("killed in time with ", ahead), fmt.Sprint(r.Err, r.Took, shown(r.Exit)))
		a.does("victim", "first", "pid")
	}
	f.want(a.does("terminate", "first", "10s").Exit.OK(), "it ends by itself", "not")
	f.want(w.served.Load() > 0, "the clock was asked for", "not")
}
