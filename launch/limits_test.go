package launch

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func TestParseRlimit(t *testing.T) {
	tests := []struct {
		text string
		want Rlimit
	}{
		{"nofile=1024", Rlimit{"nofile", 1024, 1024}},
		{"nofile=1024:4096", Rlimit{"nofile", 1024, 4096}},
		{"core=0:unlimited", Rlimit{"core", 0, Unlimited}},
		{"core=unlimited", Rlimit{"core", Unlimited, Unlimited}},
		{"as=512M:2g", Rlimit{"as", 512 << 20, 2 << 30}},
	}
	for _, tt := range tests {
		if got, err := ParseRlimit(tt.text); got != tt.want || err != nil {
			t.Errorf("%q: got %+v, %v", tt.text, got, err)
		}
	}
	for _, text := range []string{"", "nofile", "nofile=", "=1", "files=1", "nofile=1:", "nofile=:1", "nofile=2:1", "nofile=-1", "nofile=unlimited:1", "nofile=1:2:3", "NOFILE=1", "nofile= 1"} {
		if got, err := ParseRlimit(text); err == nil || !strings.Contains(err.Error(), "rlimit") {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}

func FuzzParseRlimit(f *testing.F) {
	f.Add("nofile=1024:unlimited")
	f.Add("as=1T")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRlimit(text)
		if err != nil {
			return
		}
		if again, err := ParseRlimit(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, whose text is %+v, %v", text, r, again, err)
		}
		if p := (Limits{Rlimits: []Rlimit{r}}).problem(); p != "" {
			t.Errorf("%q: read, and then refused: %s", text, p)
		}
	})
}

func TestParseSize(t *testing.T) {
	tests := map[string]int64{
		"0": 0, "1": 1, "007": 7, "64K": 64 << 10, "512M": 512 << 20, "2g": 2 << 30, "1T": 1 << 40,
		"9223372036854775807": math.MaxInt64, "8388607T": 8388607 << 40,
	}
	for text, want := range tests {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "K", "-1", "+1", "1.5G", "1KB", "1 K", "9223372036854775808", "8388608T", "0x10", "1_000", "1P"} {
		if got, err := ParseSize(text); err == nil || !strings.Contains(err.Error(), strconv.Quote(text)) {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("512M")
	f.Add("18446744073709551615T")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseSize(text)
		if err != nil {
			return
		}
		if again, err := ParseSize(strconv.FormatInt(n, 10)); n < 0 || again != n || err != nil {
			t.Errorf("%q is %d, which is %d, %v", text, n, again, err)
		}
	})
}

// TestParseCPUs compares with a set that is filled one by one.
func TestParseCPUs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []string
		set := map[int]bool{}
		for range rapid.IntRange(1, 5).Draw(t, "parts") {
			first := rapid.IntRange(0, MaxCPUs-1).Draw(t, "first")
			last := rapid.IntRange(first, min(first+20, MaxCPUs-1)).Draw(t, "last")
			part := strconv.Itoa(first)
			if first != last || rapid.Bool().Draw(t, "range") {
				part += "-" + strconv.Itoa(last)
			}
			parts = append(parts, part)
			for cpu := first; cpu <= last; cpu++ {
				set[cpu] = true
			}
		}
		text := strings.Join(parts, ",")
		got, err := ParseCPUs(text)
		var want []int
		for cpu := range MaxCPUs {
			if set[cpu] {
				want = append(want, cpu)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	})
	for _, text := range []string{"", ",", "1,", "-", "1-", "-1", "2-1", "8192", "0-8192", "99999999999", "a", "0x1", " 1", "1-2-3"} {
		if got, err := ParseCPUs(text); err == nil || !strings.Contains(err.Error(), strconv.Quote(text)) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

func FuzzParseCPUs(f *testing.F) {
	f.Add("0-3,5")
	f.Add("0-8191,0-8191")
	f.Fuzz(func(t *testing.T, text string) {
		cpus, err := ParseCPUs(text)
		if err != nil {
			return
		}
		if p := (Limits{CPUs: cpus}).problem(); p != "" || len(cpus) == 0 {
			t.Errorf("%q: read as %v, and then refused: %s", text, cpus, p)
		}
		if !slices.IsSorted(cpus) || len(slices.Compact(slices.Clone(cpus))) != len(cpus) {
			t.Errorf("%q: %v is not sorted, or has one twice", text, cpus)
		}
	})
}

func TestLimitsZero(t *testing.T) {
	if !(Limits{}).IsZero() || (Limits{}).problem() != "" {
		t.Error("the zero value is not the zero value")
	}
	for i, l := range []Limits{
		{User: &User{}}, {Umask: new(0)}, {Nice: new(0)}, {OOMScore: new(0)}, {CPUs: []int{0}},
		{Rlimits: []Rlimit{{Name: "core"}}}, {Memory: 1}, {PIDs: 1},
	} {
		if l.IsZero() || l.problem() != "" {
			t.Errorf("%d: %+v: %v %q", i, l, l.IsZero(), l.problem())
		}
	}
}

func TestExplainKeepsAStartError(t *testing.T) {
	cause := &StartError{Op: "start", Reason: ErrNotEnforced, Detail: "niceness -5"}
	err := Explain(Spec{Path: "name"}, "/bin/name", cause)
	if !errors.Is(err, ErrNotEnforced) || !strings.Contains(err.Error(), `"name"`) || !strings.Contains(err.Error(), "niceness -5") {
		t.Errorf("got %v", err)
	}
}

func TestExplainNamesTheUser(t *testing.T) {
	spec := Spec{Path: "/bin/sh", Limits: Limits{User: &User{UID: 65533}}}
	if err := Explain(spec, spec.Path, syscall.EACCES); err.Reason != ErrPermission || !strings.Contains(err.Error(), "65533") {
		t.Errorf("got %v", err)
	}
}
