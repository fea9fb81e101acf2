package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// report is the answer of the demo.
type report struct {
	Dir      string      `json:"dir"`
	Files    int         `json:"files"` // of text
	Bytes    int64       `json:"bytes"` // in them
	Words    int64       `json:"words"`
	Distinct int         `json:"distinct"`
	Top      []wordCount `json:"top"`
	Procs    []procLine  `json:"procs"`
	Kills    int         `json:"kills"`
	Verified bool        `json:"verified"` // the same as a count in one process
	Leftover *int        `json:"leftover"` // processes of ours that still exist; null if this system cannot say
	Seconds  float64     `json:"seconds"`  // that the procs have taken, with their start

	doubts []string // why it is not verified
}

// procLine is a proc in a report.
type procLine struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	PID  int    `json:"pid"` // 0 if it had no process to itself
	Exit string `json:"exit"`

	files int
	words int64
	busy  time.Duration
}

// ok reports whether the demo has shown what it is to show.
func (r *report) ok() bool { return r.Verified && (r.Leftover == nil || *r.Leftover == 0) }

// writeJSON writes the report for programs: one document on one line.
func (r *report) writeJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// writeText writes the report for people.
func (r *report) writeText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%d words, %d of them distinct, in %d text files (%s) under %s\n\n", r.Words, r.Distinct, r.Files, size(r.Bytes), r.Dir)
	fmt.Fprintln(t, "WORD\tTIMES")
	for _, c := range r.Top {
		fmt.Fprintf(t, "%s\t%d\n", c.Word, c.Count)
	}
	fmt.Fprintln(t, "\nPROC\tPID\tFILES\tWORDS\tBUSY\tEXIT")
	for _, p := range r.Procs {
		pid := "-"
		if p.PID != 0 {
			pid = fmt.Sprint(p.PID)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%v\t%s\n", p.Name, pid, p.files, p.words, p.busy.Round(time.Millisecond), p.Exit)
	}
	fmt.Fprintf(t, "\n%.2f s, %d procs killed, %s, %s\n", r.Seconds, r.Kills, r.verdict(), r.remains())
	return t.Flush()
}

func (r *report) verdict() string {
	if r.Verified {
		return "the same as counted in one process"
	}
	return "NOT the same as counted in one process"
}

func (r *report) remains() string {
	if r.Leftover == nil {
		return "left-over processes unknown on this system"
	}
	return fmt.Sprintf("%d processes left over", *r.Leftover)
}
