package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func aReport(verified bool, leftover *int) *report {
	return &report{
		Dir: "/src", Files: 2, Bytes: 12345, Words: 7, Distinct: 3, Top: []wordCount{{"the", 4}, {"é", 2}},
		Procs: []procLine{
			{ID: "h/w1~1", Name: "w1", PID: 77, Exit: "stopped: exit 0", files: 1, words: 5, busy: 1500 * time.Microsecond},
			{ID: "h/w2~2", Name: "w2", Exit: "killed"},
		},
		Kills: 1, Verified: verified, Leftover: leftover, Seconds: 1.234,
	}
}

const wantText = `7 words, 3 of them distinct, in 2 text files (12.3 kB) under /src

WORD  TIMES
the   4
é     2

PROC  PID  FILES  WORDS  BUSY  EXIT
w1    77   1      5      2ms   stopped: exit 0
w2    -    0      0      0s    killed

1.23 s, 1 procs killed, the same as counted in one process, 0 processes left over
`

const wantJSON = `{"dir":"/src","files":2,"bytes":12345,"words":7,"distinct":3,` +
	`"top":[{"word":"the","count":4},{"word":"é","count":2}],` +
	`"procs":[{"id":"h/w1~1","name":"w1","pid":77,"exit":"stopped: exit 0"},{"id":"h/w2~2","name":"w2","pid":0,"exit":"killed"}],` +
	`"kills":1,"verified":true,"leftover":0,"seconds":1.234}`

func TestReport(t *testing.T) {
	var text, doc bytes.Buffer
	r := aReport(true, new(int))
	if err := r.writeText(&text); err != nil || text.String() != wantText {
		t.Errorf("%v\n got %s\nwant %s", err, &text, wantText)
	}
	if err := r.writeJSON(&doc); err != nil || strings.ReplaceAll(strings.ReplaceAll(doc.String(), "\n", ""), " ", "") != strings.ReplaceAll(wantJSON, " ", "") {
		t.Errorf("%v\n got %s\nwant %s", err, &doc, wantJSON)
	}
}

func TestVerdict(t *testing.T) {
	one := 1
	for _, test := range []struct {
		r    *report
		ok   bool
		text string
	}{
		{aReport(true, new(int)), true, "0 processes left over"},
		{aReport(false, new(int)), false, "NOT the same"},
		{aReport(true, &one), false, "1 processes left over"},
		{aReport(true, nil), true, "unknown on this system"},
	} {
		var text bytes.Buffer
		test.r.writeText(&text)
		if test.r.ok() != test.ok || !strings.Contains(text.String(), test.text) {
			t.Errorf("ok is %v, want %v; %q in %s", test.r.ok(), test.ok, test.text, &text)
		}
	}
}

// A difference is told with the file that it is in, and what has become of it.
func TestCompare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("longer than before"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	changed, same, gone := file{path, 3, time.Time{}}, file{path, info.Size(), info.ModTime()}, file{path: path + "x"}
	a, b := outcome{kind: text, bytes: 3, words: 1}, outcome{kind: text, bytes: 18, words: 3}
	var one, two tally
	one.add("x", 1)
	two.add("y", 1)
	for _, test := range []struct {
		f    file
		a, b outcome
		x, y *tally
		want []string
	}{
		{same, a, a, &one, &one, nil},
		{same, a, b, &one, &one, []string{"1 words in 3 bytes in a proc, 3 words in 18 bytes in this process"}},
		{changed, a, b, &one, &one, []string{"it had 3 bytes when it was listed, and 18 now"}},
		{gone, a, outcome{kind: unread, why: "gone"}, &one, &one, []string{"unreadable (gone) in this process; lstat"}},
		{same, a, a, &one, &two, []string{`the word "x": 1 times in the procs, 0 times in this process`}},
		{file{path, info.Size(), time.Time{}}, a, a, &one, &two, []string{`the word "x"`, "was modified since"}},
	} {
		got := compare([]file{test.f}, []outcome{test.a}, []outcome{test.b}, test.x, test.y)
		if len(got) != len(test.want) {
			t.Errorf("%v: %q, want %q", test.f, got, test.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], test.want[i]) {
				t.Errorf("%v: %q, want %q", test.f, got, test.want)
			}
		}
	}
}
