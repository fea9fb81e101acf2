package launch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Census returns the living processes, other than the caller, whose initial
// environment contains marker, in ascending order. It sees each process that
// has started with the marker, however far it has wandered: a new session, a
// new parent, a new name change nothing. It does not see
//
//   - zombies, which have no environment any more; Children counts ours,
//   - processes whose environment we may not read (another user's),
//   - processes that have overwritten the memory of their environment.
//
// It reads one small file per process of the system.
func Census(marker string) ([]int, error) {
	return selectProcesses(func(pid int) bool { return Marked(pid, marker) })
}

// Marked reports whether Census would find the process.
func Marked(pid int, marker string) bool {
	b, _ := environ(pid)
	return bytes.Contains(b, []byte(marker))
}

// Unmarked reports whether Census is right not to find the process: a process
// that is in the middle of an exec has no environment for a moment, and is
// neither Marked nor Unmarked.
func Unmarked(pid int, marker string) bool {
	b, err := environ(pid)
	if err != nil || bytes.Contains(b, []byte(marker)) {
		return err != nil // gone, or not ours to see
	}
	line, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return true
	}
	size, known := environSize(string(line))
	return known && (size < 0 || size == len(b)) // else an exec has come in between
}

// environSize returns how long the environment of a process is, from its stat
// file, or -1 if it never has one again. It is not known during an exec.
func environSize(stat string) (size int, known bool) {
	const state, flags, from, to = 0, 6, 47, 48                    // fields after the name
	const kernelThread = 0x00200000                                // PF_KTHREAD
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name may hold anything
	if len(f) <= to {
		return 0, false
	}
	bits, _ := strconv.ParseUint(f[flags], 10, 64)
	if f[state] == "Z" || f[state] == "X" || bits&kernelThread != 0 {
		return -1, true
	}
	lo, _ := strconv.ParseUint(f[from], 10, 64)
	hi, _ := strconv.ParseUint(f[to], 10, 64)
	return int(hi - lo), hi != 0
}

// Children returns the children of this process in ascending order, in any
// state: a child that was not reaped is among them.
func Children() ([]int, error) {
	parent := []byte(strconv.Itoa(os.Getpid()))
	return selectProcesses(func(pid int) bool {
		b, err := os.ReadFile(procFile(pid, "stat"))
		if err != nil {
			return false
		}
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // state, parent, …
		return len(fields) > 1 && bytes.Equal(fields[1], parent)
	})
}

// environ returns the initial environment of a process. If the first thread of
// the process has ended, another one still knows it.
func environ(pid int) ([]byte, error) {
	b, err := os.ReadFile(procFile(pid, "environ"))
	if err != nil || len(b) > 0 {
		return b, err
	}
	tasks, err := os.ReadDir(procFile(pid, "task"))
	if err != nil {
		return nil, err
	}
	for _, task := range tasks {
		if b, err := os.ReadFile(procFile(pid, "task/"+task.Name()+"/environ")); err == nil && len(b) > 0 {
			return b, nil
		}
	}
	return nil, nil
}

func procFile(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// selectProcesses returns the processes for which is holds, but never our own.
func selectProcesses(is func(pid int) bool) ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("census: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, fmt.Errorf("census: %w", err)
	}
	self := os.Getpid()
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != self && is(pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}
