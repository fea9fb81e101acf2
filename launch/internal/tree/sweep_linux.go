package tree

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sweepBound is how long a sweep waits for the death of what it has killed.
// Longer takes only what the kernel cannot kill.
const sweepBound = time.Second

// Left reports whether there may be something left of the group and of the cgroup
// after the leader was reaped. It costs four cheap system calls.
func (l *Leader) Left() bool { return l.groupLeft() || !l.group.Empty() }

// Sweep kills what is left of the group and of the cgroup after the leader was
// reaped (PS-3) and waits for its death. It returns how many processes it killed
// and how many of them are still there. If nothing is left, which is the rule,
// it costs no more than to look.
func (l *Leader) Sweep() (swept, survivors int) { return l.sweep(sweepBound) }

// sweep kills at least once, however long it takes to look: bound is for what
// comes afterwards.
func (l *Leader) sweep(bound time.Duration) (swept, survivors int) {
	if !l.Left() {
		return 0, 0
	}
	found := map[int]*os.File{}
	for end := time.Now().Add(bound); l.findMembers(found) > 0; {
		l.killMembers(found)
		if time.Now().After(end) {
			break // they fork faster than we look
		}
	}
	deadline := time.Now().Add(bound)
	for _, f := range found {
		if !awaitDeath(f, deadline) {
			survivors++
		}
		f.Close()
	}
	return len(found), survivors
}

// groupLeft reports whether the group has members, zombies included. Signal 0
// goes to nobody, so the number of the group may serve where the pidfd does not.
func (l *Leader) groupLeft() bool {
	return !errors.Is(l.Signal(0), syscall.ESRCH)
}

// findMembers opens the living members of the group and of the cgroup that are
// not in found yet and returns how many there were.
func (l *Leader) findMembers(found map[int]*os.File) (fresh int) {
	for _, pid := range l.group.PIDs() {
		fresh += find(found, pid, l.group.Has)
	}
	if !l.groupLeft() {
		return fresh
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return fresh
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			fresh += find(found, pid, l.isMember)
		}
	}
	return fresh
}

// find adds a process to found, if it is new, is a member and lives.
func find(found map[int]*os.File, pid int, isMember func(pid int) bool) (fresh int) {
	if found[pid] != nil || !isMember(pid) {
		return 0
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0 // gone
	}
	switch member := isMember(pid); { // again: the number may have changed hands
	case member && !dead(fd):
		found[pid] = pidfdFile(fd)
		return 1
	case member: // waits for its parent, which is us if we are a subreaper
		reapAdopted(fd)
	}
	unix.Close(fd)
	return 0
}

// isMember reports whether pid is in the group and in the session that the
// leader made; only both together are ours. As long as the group has a member,
// the kernel gives its number to nobody else, so that it is asked last whether
// there is one: we may have been stopped for long before. Only the pidfd, where
// it stands for the group, tells that for sure.
func (l *Leader) isMember(pid int) bool {
	st, ok := readStat(pid)
	return ok && st.pgrp == l.PID && st.session == l.PID && pid != l.PID && l.groupLeft()
}

// killMembers kills all at once where that can be done without a number, so that
// nothing is forked meanwhile; else each member by its pidfd.
func (l *Leader) killMembers(found map[int]*os.File) {
	atOnce := l.group == nil || l.group.Kill() == nil
	if l.groupSignal {
		_ = unix.PidfdSendSignal(l.fd, unix.SIGKILL, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	}
	if atOnce && l.groupSignal {
		return
	}
	for _, f := range found {
		_ = unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0)
	}
}

// awaitDeath waits for the end of any process.
func awaitDeath(f *os.File, deadline time.Time) bool {
	rc, err := f.SyscallConn()
	if err != nil {
		return false
	}
	_ = f.SetReadDeadline(deadline)
	err = rc.Read(func(fd uintptr) bool { return dead(int(fd)) })
	_ = rc.Control(func(fd uintptr) { reapAdopted(int(fd)) })
	return err == nil
}

func dead(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// awaitPoll blocks the thread until the process has ended.
func awaitPoll(pidfd int) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return
		}
	}
}

// reapAdopted reaps a dead member of the group if it was handed to us because
// we are a subreaper or PID 1 (PS-12). If it is not ours, nothing happens.
func reapAdopted(pidfd int) {
	_, _ = waitid(pidfd, unix.WEXITED|unix.WNOHANG, nil)
}
