package main

import (
	"encoding/json"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
)

// eventRecord is an event as --events writes it. All keys up to exit are there
// in each event.
type eventRecord struct {
	Time        time.Time   `json:"time"`
	Proc        string      `json:"proc"` // the id of this incarnation; "" while there is none
	Name        string      `json:"name"`
	Rank        int         `json:"rank"`
	Incarnation int         `json:"incarnation"` // counts the starts, from 1
	Event       string      `json:"event"`
	PID         int         `json:"pid"`  // 0 while there is none
	Exit        *exitRecord `json:"exit"` // of exited and gave_up; null for the others

	Cause  string  `json:"cause,omitempty"`         // why, in words
	Delay  float64 `json:"delay_seconds,omitempty"` // of restarting: until the start
	Missed int     `json:"missed,omitempty"`        // events before this one that were lost because nobody took them in time
}

// exitRecord is a launch.Exit for programs.
type exitRecord struct {
	Kind       string         `json:"kind"`
	Code       int            `json:"code"`
	Signal     int            `json:"signal"` // 0: none
	CoreDumped bool           `json:"core_dumped"`
	OOMKilled  bool           `json:"oom_killed"`
	Phase      string         `json:"phase"`
	Requested  *requestRecord `json:"requested"` // null: nobody
	Cause      string         `json:"cause"`
	Started    *time.Time     `json:"started"` // null if it never came that far, as the next two
	Ready      *time.Time     `json:"ready"`
	Ended      *time.Time     `json:"ended"`
	Rusage     rusageRecord   `json:"rusage"`
	Stderr     string         `json:"stderr"` // the last lines
	Swept      int            `json:"swept"`  // left-over processes that were killed
	Cut        bool           `json:"cut"`    // a left-over process kept output open for too long
	Abandoned  string         `json:"abandoned"`
}

type requestRecord struct {
	By   string    `json:"by"`
	Why  string    `json:"why"`
	At   time.Time `json:"at"`
	Kill bool      `json:"kill"`
}

type rusageRecord struct {
	User   float64 `json:"user_seconds"`
	System float64 `json:"system_seconds"`
	MaxRSS int64   `json:"max_rss_bytes"`
}

// recordOf returns e, which happened to the proc of that rank, as a record.
func recordOf(name string, rank int, e host.Event) eventRecord {
	r := eventRecord{
		Time: e.Time, Proc: e.Proc.String(), Name: name, Rank: rank, Incarnation: e.Incarnation,
		Event: e.Kind.String(), PID: e.PID, Cause: e.Cause, Delay: e.Delay.Seconds(), Missed: e.Missed,
	}
	if e.Kind == host.EventExited || e.Kind == host.EventGaveUp {
		r.Exit = exitRecordOf(e.Exit)
	}
	return r
}

func exitRecordOf(e launch.Exit) *exitRecord {
	r := &exitRecord{
		Kind: e.Kind.String(), Code: e.Code, Signal: int(e.Signal), CoreDumped: e.CoreDumped, OOMKilled: e.OOMKilled,
		Phase: e.Phase.String(), Cause: e.Cause,
		Started: sometime(e.Started), Ready: sometime(e.Ready), Ended: sometime(e.Ended),
		Rusage: rusageRecord{e.Rusage.User.Seconds(), e.Rusage.System.Seconds(), e.Rusage.MaxRSS},
		Stderr: e.Stderr, Swept: e.Swept, Cut: e.Cut, Abandoned: e.Abandoned,
	}
	if e.Requested != (launch.Request{}) {
		r.Requested = &requestRecord{e.Requested.By, e.Requested.Why, e.Requested.At, e.Requested.Kill}
	}
	return r
}

// sometime returns nil for no time at all.
func sometime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// line is r as one line of JSON.
func (r eventRecord) line() ([]byte, error) {
	b, err := json.Marshal(r)
	return append(b, '\n'), err
}
