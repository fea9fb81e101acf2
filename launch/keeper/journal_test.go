package keeper

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func someRecord(t *rapid.T) Record {
	return Record{
		Mark:    rapid.StringMatching(`[A-Z2-7]{4,26}(\.[A-Z2-7]{26})?`).Draw(t, "mark"),
		PID:     rapid.IntRange(1, 1<<22).Draw(t, "pid"),
		Started: time.Unix(0, rapid.Int64().Draw(t, "started")), Ended: time.Unix(0, rapid.Int64().Draw(t, "ended")),
		Code:   rapid.IntRange(0, 255).Draw(t, "code"),
		Signal: syscall.Signal(rapid.IntRange(0, 64).Draw(t, "signal")), CoreDumped: rapid.Bool().Draw(t, "core"),
	}
}

// TestJournalTorn cuts a file of records anywhere: the whole lines before are
// all there, and nothing else.
func TestJournalTorn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(someRecord)).Draw(t, "records")
		var file []byte
		for _, r := range want {
			file = append(file, r.line()...)
		}
		file = file[:rapid.IntRange(0, len(file)).Draw(t, "length")]
		got, err := parseRecords("records", file)
		if err != nil || !slices.Equal(got, want[:bytes.Count(file, []byte("\n"))]) {
			t.Fatalf("got %v, %v", got, err)
		}
	})
}

// TestJournalContinued opens what an earlier keeper has left, whose last write
// the disk has taken a part of.
func TestJournalContinued(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	r := Record{Mark: "A.B", PID: 7, Started: time.Unix(1, 2), Ended: time.Unix(3, 4), Code: 5}
	if err := os.WriteFile(path, []byte(r.line()+r.line()[:9]), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	j.append([]Record{r, r}, 3)
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadRecords(path); err != nil || !slices.Equal(got, []Record{r, r, r}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte(Record{Mark: "A.B", PID: 7, Started: time.Unix(1, 2), Ended: time.Unix(3, 4), Code: 5, CoreDumped: true}.line()))
	f.Add([]byte("1 x 1 1 1 1 1 true\n1 y"))
	f.Add([]byte("1  1 1 1 1 1 true\n"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseRecords("records", b)
		var again []byte
		for _, r := range all {
			again = append(again, r.line()...)
		}
		if !bytes.HasPrefix(b, again) || err == nil && bytes.Count(b, []byte("\n")) != len(all) {
			t.Errorf("%q: got %q, %v", b, again, err)
		}
	})
}

// TestJournalForgets appends for ever to a file that stays small, and never
// forgets what the host has not seen.
func TestJournalForgets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Mark: strings.Repeat("M", 53), PID: 1 << 20, Started: time.Unix(2e9, 0), Ended: time.Unix(2e9, 0)}
	for n := range uint64(10000) {
		j.append([]Record{r}, 1)
		j.forget(n) // all but the last
	}
	if all, err := ReadRecords(path); err != nil || len(all) != 10000 {
		t.Errorf("got %d records, %v", len(all), err)
	}
	for range 10000 {
		j.append([]Record{r}, 1)
		j.forget(j.ends)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxJournal+1000 || info.Size() == 0 {
		t.Errorf("got %v, %v", info.Size(), err)
	}
	if err := j.close(); err != nil {
		t.Error(err)
	}
}
