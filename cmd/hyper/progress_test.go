package main

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	for _, test := range []struct {
		p    progress
		want string
	}{
		{progress{"counting", 0, 100, 0, ""}, "counting   0%, 0 B of 100 B"},
		{progress{"counting", 0, 0, time.Second, ""}, "counting 100%, 0 B of 0 B"},
		{progress{"counting", 25e6, 100e6, time.Second, "4 procs"}, "counting  25%, 25.0 MB of 100 MB, 25.0 MB/s, 3.0s left, 4 procs"},
		{progress{"checking", 1, 1e6, time.Second, ""}, "checking   0%, 1 B of 1.0 MB, 1 B/s, 277h46m39s left"},
		{progress{"checking", 1, math.MaxInt64, time.Hour, ""}, "checking   0%, 1 B of 9.2 EB, 0 B/s"},
		{progress{"checking", 120, 100, time.Second, ""}, "checking 100%, 120 B of 100 B, 120 B/s"}, // a file has grown
	} {
		if got := test.p.line(); got != test.want {
			t.Errorf("%+v:\n got %q\nwant %q", test.p, got, test.want)
		}
	}
	p := progress{"counting", 50, 100, time.Second, ""}
	if got, want := p.bar(36), "[==========          ] counting  50%"; got != want {
		t.Errorf("bar: %q, want %q", got, want)
	}
	if got := p.bar(0); got != "" {
		t.Errorf("bar in no columns: %q", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 99_949: "99.9 kB", 99_951: "100 kB", 999_499: "999 kB", 999_500: "1.0 MB", math.MaxInt64: "9.2 EB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestDisplay(t *testing.T) {
	for name, test := range map[string]struct {
		terminal bool
		want     string
	}{
		"elsewhere":     {false, "a  50%, 1 B of 2 B\na  50%, 1 B of 2 B\n"},
		"on a terminal": {true, "\r[====\x1b[K\r\x1b[K"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			d := display{&out, func() (int, bool) { return 5, test.terminal }}
			wait := 2500 * time.Millisecond
			if test.terminal {
				wait = 150 * time.Millisecond
			}
			over := errors.New("over")
			err := d.during(
				func() error { <-time.After(wait); return over },
				func() progress { return progress{"a", 1, 2, 0, ""} })
			if err != over || out.String() != test.want {
				t.Errorf("%s: %v, %q, want %q", name, err, out.String(), test.want)
			}
		})
	}
}
