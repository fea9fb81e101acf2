package main

import (
	"bytes"
	"slices"
	"testing"
)

func TestFate(t *testing.T) {
	for name, test := range map[string]struct {
		sent, handled, told, bad int64
		heard                    bool
		want                     fate
	}{
		"all arrived":              {7, 7, 0, 0, false, delivered},
		"each was refused":         {7, 0, 7, 0, true, refused},
		"some were, some arrived":  {7, 3, 4, 0, true, refused},
		"some are in doubt":        {7, 3, 1, 0, true, broken},
		"some are missing":         {7, 6, 0, 0, false, lost},
		"all arrived, one changed": {7, 7, 0, 1, false, damaged},
	} {
		if got := fateOf(test.sent, test.handled, test.told, test.bad, test.heard); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestFateSizes(t *testing.T) {
	sizes := fateSizes(256<<20, 2)
	for _, want := range []int{0, 1, 2, 3, 63, 64, 65, 4<<20 - 1, 4 << 20, 4<<20 + 1, 16<<20 - 64, 256<<20 - 1, 256 << 20} {
		if !slices.Contains(sizes, want) {
			t.Errorf("%d is not tried", want)
		}
	}
	if last := sizes[len(sizes)-1]; last != 256<<20 || !slices.IsSorted(sizes) {
		t.Errorf("the sizes end with %d, want %d, sorted", last, 256<<20)
	}
}

// TestPattern checks that a change in a message is noticed, wherever it is.
func TestPattern(t *testing.T) {
	for _, size := range []int{0, 1, 64, patternBytes - 1, patternBytes, patternBytes + 1, 3*patternBytes + 17, 1 << 20} {
		b := pattern(size)
		if len(b) != size || !isPattern(b, size) {
			t.Fatalf("the pattern of %d bytes is not one", size)
		}
		if isPattern(append(b, 0), size) || isPattern(b, size+1) || size > 0 && isPattern(b[1:], size) {
			t.Errorf("%d bytes: a wrong length passes", size)
		}
		for _, at := range []int{0, size / 2, size - 1} {
			if size == 0 {
				break
			}
			c := bytes.Clone(b)
			c[at] ^= 1
			if isPattern(c, size) {
				t.Errorf("%d bytes: a change at %d passes", size, at)
			}
		}
	}
	moved := pattern(4 << 16)
	copy(moved, moved[1<<16:])
	if isPattern(moved, 4<<16) {
		t.Error("blocks of 64 KiB that moved pass")
	}
}
