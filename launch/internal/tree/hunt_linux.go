package tree

import (
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch"
)

// KillMarked kills every process of the system whose environment has marker,
// however far it has wandered, and waits for its death. It returns how many
// there were.
func KillMarked(marker string) (killed int) {
	killed, _ = hunt(marker, func() []int {
		all := processes()
		delete(all, os.Getpid())
		return slices.Collect(maps.Keys(all))
	})
	return killed
}

// firstPause is how long an exec may take before somebody looks again; each
// further pause is twice as long, so that there are a dozen looks at most.
const firstPause = 250 * time.Microsecond

// hunt kills the listed processes whose environment has marker, waits for their
// death, and goes on with what they have left behind. It returns how many it
// killed and how many of them are still there. Of a process in the middle of an
// exec nobody can say whose it is: hunt looks again until that is decided.
func hunt(marker string, list func() []int) (killed, survivors int) {
	deadline := time.Now().Add(sweepBound)
	seen := map[int]bool{}
	for pause := firstPause; ; {
		prey, unsure := track(list(), marker)
		before := len(seen)
		for pid := range prey {
			seen[pid] = true
		}
		survivors = awaitDeaths(slices.Collect(maps.Values(prey)), deadline)
		now := time.Now()
		switch {
		case now.After(deadline) || len(seen) == before && unsure == 0:
			return len(seen), survivors
		case len(seen) == before:
			awaitExecUntil(unsure, now.Add(pause))
			pause *= 2
		}
	}
}

// track kills those of the processes whose environment has marker and returns
// their pidfds, and one of those that nobody can tell yet; 0 is none.
func track(pids []int, marker string) (prey map[int]*os.File, unsure int) {
	prey = map[int]*os.File{}
	for _, pid := range pids {
		if f := killMarked(pid, marker); f != nil {
			prey[pid] = f
		} else if unsure == 0 && !launch.Unmarked(pid, marker) {
			unsure = pid
		}
	}
	return prey, unsure
}

// killMarked kills a process if its environment has marker. It returns its
// pidfd, or nil.
func killMarked(pid int, marker string) *os.File {
	if !launch.Marked(pid, marker) {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // gone
	}
	f := pidfdFile(fd)
	if !launch.Marked(pid, marker) { // the number may have changed hands in between
		f.Close()
		return nil
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	return f
}

func awaitDeaths(killed []*os.File, deadline time.Time) (survivors int) {
	for _, f := range killed {
		if !awaitDeath(f, deadline) {
			survivors++
		}
		f.Close()
	}
	return survivors
}

// awaitExecUntil gives a process time to finish its exec, for which the kernel
// has no event, or to end.
func awaitExecUntil(pid int, deadline time.Time) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone
	}
	f := pidfdFile(fd)
	defer f.Close()
	awaitDeath(f, deadline)
}
