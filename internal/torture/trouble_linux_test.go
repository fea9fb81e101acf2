package torture

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// trouble has an agent make trouble for itself.
func trouble(s *server, verb string, args []string) (reply, error) {
	switch verb {
	case "deny": // system call, errno or "die", and a condition on its arguments
		return reply{}, deny(args)
	case "steal": // the records of all children
		go steal()
	case "threads": // that end, while they are locked
		endThreads(number(args[0]))
	case "spare-threads": // for the scheduler
		spareThreads(number(args[0]))
	case "ask-others": // for the time
		fd, err := askOthers()
		return reply{Text: strconv.Itoa(fd)}, err
	case "now": // by the clock of the wall
		return reply{Text: time.Now().UTC().Format("2006-01-02")}, nil
	case "spin": // on every processor
		for range runtime.GOMAXPROCS(0) * 2 {
			go func() {
				for x := uint64(1); x != 0; x *= 3 { // never 0
				}
			}()
		}
	case "rubbish": // for the collector, all the time
		go func() {
			var keep [64][]byte
			for i := 0; ; i++ {
				keep[i%len(keep)] = make([]byte, 1<<20)
			}
		}()
	case "eat": // memory, until it is full
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
			runtime.KeepAlive(all)
		}
	case "mount": // file system, directory, options
		flags, data := uintptr(0), args[2]
		if rest, ok := strings.CutPrefix(data, "noexec,"); ok {
			flags, data = unix.MS_NOEXEC, rest
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return reply{}, err
		}
		return reply{}, unix.Mount(args[0], args[1], args[0], flags, data)
	case "launch-file": // what must fail
		p, err := s.launcher.Launch(s.background(), launch.Spec{Path: args[0]})
		if err == nil {
			return reply{Exit: p.Wait()}, nil
		}
		return reply{}, err
	case "write": // file, content
		return reply{}, os.WriteFile(args[0], []byte(args[1]), 0o755)
	case "fds":
		return reply{Text: strings.Join(openFiles(), "\n")}, nil
	case "count": // of descriptors and goroutines
		return reply{Text: fmt.Sprint(len(entries("/proc/self/fd")), " ", runtime.NumGoroutine())}, nil
	case "starve": // of descriptors, but for a few
		return s.starve(number(args[0]))
	case "feed":
		return reply{}, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 10_000, Max: 20_000})
	case "churn":
		return s.churn(number(args[0]))
	case "capture": // directory, MB, file system that becomes read-only
		return s.capture(args[0], number(args[1]), strings.Join(args[2:], ""))
	case "own": // a directory of logs
		return reply{}, s.own(args[0])
	case "ignore":
		signal.Ignore(syscall.Signal(number(args[0])))
	default:
		return reply{}, fmt.Errorf("an agent cannot %q", verb)
	}
	return reply{}, nil
}

// background bounds nothing.
func (s *server) background() context.Context { return context.Background() }

// systemCall is what a filter lets fail, or makes deadly: a call with some bits
// set, or not set, in one of its arguments.
type systemCall struct {
	nr   uintptr
	arg  int
	bits uint32
	set  bool
}

// systemCalls returns what can be denied, by name.
func systemCalls() map[string]systemCall {
	return map[string]systemCall{
		"fork":          {unix.SYS_CLONE, 0, unix.CLONE_THREAD, false},
		"clone3":        {nr: unix.SYS_CLONE3},
		"socketpair":    {nr: unix.SYS_SOCKETPAIR},
		"pipe2":         {nr: unix.SYS_PIPE2},
		"pidfd_open":    {nr: unix.SYS_PIDFD_OPEN},
		"pidfd_signal":  {nr: unix.SYS_PIDFD_SEND_SIGNAL},
		"close_range":   {nr: unix.SYS_CLOSE_RANGE},
		"look":          {unix.SYS_WAITID, 3, unix.WNOWAIT, true},
		"reap":          {unix.SYS_WAITID, 3, unix.WNOWAIT, false},
		"execve":        {nr: unix.SYS_EXECVE},
		"group_signal":  {unix.SYS_PIDFD_SEND_SIGNAL, 3, unix.PIDFD_SIGNAL_PROCESS_GROUP, true},
		"cgroup_signal": {nr: unix.SYS_KILL},
		"sendmsg":       {nr: unix.SYS_SENDMSG},
		"recvmsg":       {nr: unix.SYS_RECVMSG},
		"connect":       {nr: unix.SYS_CONNECT},
		"prlimit":       {nr: unix.SYS_PRLIMIT64},
	}
}

// deny installs a filter in all threads of this process and in all that it
// starts from now on: a system call fails, or it is the last one.
func deny(args []string) error {
	call, ok := systemCalls()[args[0]]
	if !ok {
		return fmt.Errorf("no system call is called %q", args[0])
	}
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	if args[1] != "die" {
		action = unix.SECCOMP_RET_ERRNO | uint32(number(args[1]))
	}
	jt, jf := uint8(0), uint8(1) // to the action, to the end
	if !call.set {
		jt, jf = 1, 0
	}
	const allow = unix.SECCOMP_RET_ALLOW
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(call.nr), Jt: 0, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(16 + 8*call.arg)}, // the low half of an argument
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: call.bits, Jt: jt, Jf: jf},
		{Code: unix.BPF_RET | unix.BPF_K, K: action},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const setModeFilter, allThreads = unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, allThreads, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}

// steal waits for any child, as a careless library does.
func steal() {
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(-1, &status, 0, nil); err == unix.ECHILD {
			runtime.Gosched() // none at this moment
		}
	}
}

// endThreads ends n threads that belong to goroutines which have started
// nothing themselves.
func endThreads(n int) {
	ended := make(chan struct{})
	for range n {
		go func() {
			runtime.LockOSThread() // and never unlocks: the thread ends with the goroutine
			ended <- struct{}{}
		}()
	}
	for range n {
		<-ended
	}
}

// spareThreads has the scheduler own n threads that do nothing.
func spareThreads(n int) {
	var pipe [2]int
	must(unix.Pipe(pipe[:])) // that blocks: each read has a thread to itself
	var wg, reading sync.WaitGroup
	for range n {
		reading.Add(1)
		wg.Go(func() {
			reading.Done()
			_, _ = unix.Read(pipe[0], make([]byte, 1))
		})
	}
	reading.Wait()
	for len(entries("/proc/self/task")) < n {
		runtime.Gosched()
	}
	unix.Close(pipe[1])
	wg.Wait()
	unix.Close(pipe[0])
}

// starve leaves room for n more descriptors.
func (s *server) starve(n int) (reply, error) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		return reply{}, err
	}
	limit := 0
	for free := n; ; limit++ {
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err != nil {
			if free == 0 {
				break
			}
			free--
		}
	}
	return reply{}, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: old.Max})
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
