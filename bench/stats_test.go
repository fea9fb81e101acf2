package main

import (
	"slices"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for name, test := range map[string]struct {
		values []float64
		want   spread
	}{
		"one":  {[]float64{3}, spread{3, 3, 3}},
		"odd":  {[]float64{9, 1, 4}, spread{4, 1, 9}},
		"even": {[]float64{9, 1, 4, 5}, spread{4.5, 1, 9}},
	} {
		before := slices.Clone(test.values)
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
		if !slices.Equal(before, test.values) {
			t.Errorf("%s: the values were changed to %v", name, test.values)
		}
	}
}

// TestPercentile compares with the definition: the smallest that enough of them
// do not exceed.
func TestPercentile(t *testing.T) {
	for n := 1; n <= 200; n++ {
		var sorted []time.Duration
		for i := range n {
			sorted = append(sorted, time.Duration(i*i))
		}
		for _, hundredths := range []int{0, 1, 50, 90, 99, 100} {
			want := sorted[max(0, (hundredths*n+99)/100-1)]
			if got := percentile(sorted, float64(hundredths)/100); got != want {
				t.Errorf("percentile %d of %d: got %d, want %d", hundredths, n, got, want)
			}
		}
	}
}

func TestRatiosCompareTheSameRound(t *testing.T) {
	ours := []sample{{messageRate: 10}, {messageRate: 4}, {messageRate: 90}}
	base := []sample{{messageRate: 20}, {messageRate: 4}, {messageRate: 30}, {messageRate: 1}}
	if got, want := ratios(ours, base, messageRate), (spread{1, 0.5, 3}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGoals(t *testing.T) {
	for name, test := range map[string]struct {
		goal goal
		got  float64
		want bool
	}{
		"fast enough":          {goal{Metric: messageRate, Value: 3e6}, 3e6, true},
		"too slow":             {goal{Metric: messageRate, Value: 3e6}, 2.9e6, false},
		"quick enough":         {goal{Metric: p50, AtMost: true, Value: 1.5}, 1.5, true},
		"too late":             {goal{Metric: p50, AtMost: true, Value: 1.5}, 1.51, false},
		"two and of a batch":   {goal{Metric: farAllocs, AtMost: true, Value: 2}, 2.04, true},
		"two and every tenth":  {goal{Metric: farAllocs, AtMost: true, Value: 2}, 2.1, false},
		"no allocation at all": {goal{Metric: nearAllocs, AtMost: true}, 0.003, true},
	} {
		if got := test.goal.met(test.got); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, test := range []struct {
		m    metric
		v    float64
		want string
	}{
		{messageRate, 0, "0.00 /s"},
		{messageRate, 999, "999 /s"},
		{messageRate, 3.1e6, "3.10 M/s"},
		{byteRate, 12.34e9, "12.3 GB/s"},
		{p99, 12345, "12.3 µs"},
		{farCPU, 812.4, "812 ns"},
		{farCPU, 81240, "81 µs"},
		{nearMemory, 16384, "16.0 KiB"},
		{nearAllocs, 2.004, "2.00"},
	} {
		if got := test.m.format(test.v); got != test.want {
			t.Errorf("%s %v: got %q, want %q", test.m, test.v, got, test.want)
		}
	}
	if got, want := messageRate.formatSpread(spread{1.5e6, 9e5, 2e6}), "1.50 M/s [0.90 to 2.00]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
