package keeper

import (
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// ward is one process that the keeper looks after.
type ward struct {
	keeper  *keeper
	id      uint64
	mark    string // in the environment of whatever descends from it
	lead    *tree.Leader
	started time.Time

	// The following belong to the one that sees it to its end.
	at               time.Time // when it ended
	end              tree.End
	swept, survivors int

	// mu makes a signal and the reaping exclude each other (PS-4).
	mu     sync.Mutex
	reaped bool
}

// find returns the living processes with the given ids.
func (k *keeper) find(ids []uint64) (all []*ward) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		all = append(all, k.living[id])
	}
	return all
}

// finish sees processes that have ended off. Many end at the same time, and are
// dealt with together, since each step costs a system call: all are recorded, and
// only then the first is reaped (PS-1); then it is seen that nothing is left of
// them (PS-3), and the host is told. It waits for nothing but the disk.
//
// What is left of a process has become an orphan, or descends from one, when the
// process can be reaped. Only what it has made a child of ours with CLONE_PARENT
// has not, but that is in its group or in its cgroup.
func (k *keeper) finish(all []*ward) {
	ended := k.look(all)
	k.record(ended)
	for _, w := range ended {
		w.bury()
	}
	orphans := k.orphans.Any()
	gone := make([]*ward, 0, len(ended))
	for _, w := range ended {
		if orphans || w.lead.Left() {
			go w.sweepAndReport() // wards waits for it
			continue
		}
		w.lead.Close()
		gone = append(gone, w)
	}
	if len(gone) > 0 {
		k.report(gone)
	}
}

// look takes the records of processes and returns those that have one. Of the
// others, those who trace them have to be told first.
func (k *keeper) look(all []*ward) []*ward {
	at := time.Now()
	ended := make([]*ward, 0, len(all))
	for _, w := range all {
		var there bool
		if w.end, there = w.lead.Look(); !there {
			go w.finish() // wards waits for it
			continue
		}
		w.at = at
		ended = append(ended, w)
	}
	return ended
}

// record writes down how processes have ended, before they are reaped.
func (k *keeper) record(ended []*ward) {
	if k.records == nil {
		return
	}
	known := make([]Record, 0, len(ended))
	for _, w := range ended {
		if w.end.Err == nil { // else nothing is made up
			known = append(known, Record{
				Mark: w.mark, PID: w.lead.PID, Started: w.started, Ended: w.at,
				Code: w.end.Code, Signal: w.end.Signal, CoreDumped: w.end.Core,
			})
		}
	}
	k.records.append(known, len(ended))
}

// report tells the host of processes that have ended and of which nothing is
// left, in one go. It does not wait for a host that is stopped.
func (k *keeper) report(all []*ward) {
	k.tire()
	k.mu.Lock()
	for _, w := range all {
		delete(k.living, w.id)
	}
	k.mu.Unlock()
	events := make([]any, len(all))
	for i, w := range all {
		events[i] = event{ID: w.id, Ended: report(w.end, w.at, w.swept, w.survivors)}
	}
	k.conn.post(events, func() { k.wards.Add(-len(all)) })
}

// finish waits for the end of the process and sees it off.
func (w *ward) finish() {
	w.lead.Await()
	w.keeper.finish([]*ward{w})
}

func (w *ward) sweepAndReport() {
	w.sweep()
	w.keeper.report([]*ward{w})
}

// sweep kills what is left, be it in the group or handed to us as an orphan.
func (w *ward) sweep() {
	swept, survivors := w.lead.Sweep()
	orphans, stuck := w.keeper.orphans.Sweep(w.mark)
	w.swept, w.survivors = swept+orphans, survivors+stuck
	w.lead.Close()
}

// abort sees to it that nothing is left of a process that the host is not told
// of.
func (w *ward) abort() {
	w.lead.Abandon()
	w.lead.Await()
	w.bury()
	w.sweep()
}

func (w *ward) bury() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lead.Bury()
	w.reaped = true
}

func (w *ward) signal(numbers []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reaped {
		return
	}
	for _, n := range numbers {
		if n == int(unix.SIGKILL) {
			w.lead.Abandon()
			continue
		}
		_ = w.lead.Signal(syscall.Signal(n)) // it may have ended
	}
}
