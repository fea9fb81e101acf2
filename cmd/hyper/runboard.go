package main

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// board is what is known of the procs: a row for each rank. It is pure: it
// takes events and writes a table.
type board []row

// row is one proc.
type row struct {
	label  string
	status string // its phase, or the last thing that happened
	since  time.Time
	pid    int // 0 while there is none
	starts int
	last   string // how its last run ended; "" if none has
	cause  string
}

// newBoard returns the board of procs that have not been started.
func newBoard(labels []string, now time.Time) board {
	b := make(board, len(labels))
	for i, l := range labels {
		b[i] = row{label: l, status: "waiting", since: now}
	}
	return b
}

// take notes what happened to the proc of that rank.
func (b board) take(rank int, e host.Event) {
	r := &b[rank]
	r.status, r.since, r.starts, r.cause = e.Kind.String(), e.Time, e.Incarnation, e.Cause
	switch e.Kind {
	case host.EventRunning, host.EventReady, host.EventUnhealthy, host.EventStopping:
		r.pid = e.PID
	case host.EventExited:
		r.pid = 0
		r.last = story(e.Exit)
		r.cause = "" // the story has it
	case host.EventRestarting:
		r.cause = "in " + short(e.Delay)
	}
}

// look brings the row of a living proc up to date: events come a moment later
// than what they tell, and do not tell all.
func (r *row) look(st host.Status) {
	r.status, r.pid, r.since = st.Phase.String(), st.PID, st.Taken.Add(-st.Spent[st.In])
	if st.Suspended {
		r.status += " (suspended)"
	}
	r.starts = max(r.starts, 1)
	r.cause = cmp.Or(trouble(st), st.Note)
}

// trouble is why a proc stops, or what is wrong with it.
func trouble(st host.Status) string {
	if st.Requested != (launch.Request{}) {
		return askedBy(st.Requested)
	}
	return st.Cause
}

// write writes the table.
func (b board) write(w io.Writer, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROC\tSTATUS\tSINCE\tPID\tSTARTS\tCAUSE\tLAST EXIT")
	for _, r := range b {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.label, r.status, short(max(0, now.Sub(r.since))),
			orDash(r.pid), r.starts, orDash(oneLine(r.cause)), orDash(r.last))
	}
	return t.Flush()
}

// orDash is v, or a dash if there is nothing to see.
func orDash[T comparable](v T) string {
	var none T
	if v == none {
		return "-"
	}
	return fmt.Sprint(v)
}
