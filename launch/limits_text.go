package launch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ParseRlimit reads "name=limit" or "name=soft:hard". A value is a number as
// ParseSize reads it, or "unlimited". The units are those of setrlimit(2):
// bytes, seconds, or a count.
func ParseRlimit(s string) (Rlimit, error) {
	name, values, ok := strings.Cut(s, "=")
	if !ok || !slices.Contains(RlimitNames(), name) {
		return Rlimit{}, fmt.Errorf("rlimit %q: want NAME=SOFT:HARD, with one of the names %s", clip(s), strings.Join(RlimitNames(), ", "))
	}
	soft, hard, ok := strings.Cut(values, ":")
	if !ok {
		hard = soft
	}
	r := Rlimit{Name: name}
	var err error
	if r.Soft, err = rlimitValue(soft); err != nil {
		return Rlimit{}, fmt.Errorf("rlimit %q: %w, or \"unlimited\"", clip(s), err)
	}
	if r.Hard, err = rlimitValue(hard); err != nil {
		return Rlimit{}, fmt.Errorf("rlimit %q: %w, or \"unlimited\"", clip(s), err)
	}
	if p := rlimitProblem([]Rlimit{r}); p != "" {
		return Rlimit{}, fmt.Errorf("%s", p)
	}
	return r, nil
}

func rlimitValue(s string) (uint64, error) {
	if s == "unlimited" {
		return Unlimited, nil
	}
	n, err := ParseSize(s)
	return uint64(n), err
}

// String returns the form that ParseRlimit reads.
func (r Rlimit) String() string {
	if r.Soft == r.Hard {
		return r.Name + "=" + rlimitText(r.Soft)
	}
	return r.Name + "=" + rlimitText(r.Soft) + ":" + rlimitText(r.Hard)
}

func rlimitText(v uint64) string {
	if v == Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(v, 10)
}

// ParseSize reads a number of bytes, "512" or "64K", "512M", "2G", "1T", where
// K is 1024. The unit may be a small letter.
func ParseSize(s string) (int64, error) {
	digits, shift := s, 0
	if i := strings.IndexByte("KMGT", upper(s)); s != "" && i >= 0 {
		digits, shift = s[:len(s)-1], 10*(i+1)
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("size %q is not a number like 512, 64K, 512M, 2G or 1T", clip(s))
	}
	return int64(n) << shift, nil
}

// upper returns the last letter of s as a capital.
func upper(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1] &^ 0x20
}

// ParseCPUs reads a list of CPUs like "0-3,5". The result is sorted and has
// each CPU once.
func ParseCPUs(s string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, ok1 := parseCPU(low)
		last, ok2 := parseCPU(high)
		if !ok1 || !ok2 || first > last {
			return nil, fmt.Errorf("CPUs %q: %q is not a CPU or a range like 0-3, below %d", clip(s), clip(part), MaxCPUs)
		}
		for cpu := first; cpu <= last; cpu++ {
			if i, has := slices.BinarySearch(cpus, cpu); !has {
				cpus = slices.Insert(cpus, i, cpu)
			}
		}
	}
	return cpus, nil
}

func parseCPU(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n < MaxCPUs
}
