package main

import (
	"slices"
	"time"
)

// spread is what several rounds measured: the median, and how far they lie apart.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of at least one value. Of an even number the
// median is the mean of the two in the middle.
func spreadOf(values []float64) spread {
	s := slices.Sorted(slices.Values(values))
	middle := s[len(s)/2]
	if len(s)%2 == 0 {
		middle = (middle + s[len(s)/2-1]) / 2
	}
	return spread{Median: middle, Min: s[0], Max: s[len(s)-1]}
}

// percentile returns the smallest of the sorted times that at least p of them,
// from 0 to 1, do not exceed.
func percentile(sorted []time.Duration, p float64) time.Duration {
	i := int(p*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// metric names one thing that is measured, with its unit.
type metric string

// The metrics. Near is this process, the sender; far the other one.
const (
	messageRate metric = "msg/s"
	byteRate    metric = "B/s"
	p50         metric = "p50 ns"
	p99         metric = "p99 ns"
	nearAllocs  metric = "near allocs/msg"
	farAllocs   metric = "far allocs/msg"
	nearCPU     metric = "near CPU ns/msg"
	farCPU      metric = "far CPU ns/msg"
	nearMemory  metric = "near B/session" // heap and stacks
	farMemory   metric = "far B/session"
	nearRSS     metric = "near RSS B/session"
	farRSS      metric = "far RSS B/session"
	nearIdle    metric = "near CPU ms/s"
	farIdle     metric = "far CPU ms/s"
	nearTasks   metric = "near goroutines/session"
	farTasks    metric = "far goroutines/session"
)

// sample is what one round measured of one contender.
type sample map[metric]float64

// spreads returns the spread of each metric that all samples have.
func spreads(samples []sample) map[metric]spread {
	out := make(map[metric]spread)
	for m := range samples[0] {
		values := make([]float64, 0, len(samples))
		for _, s := range samples {
			values = append(values, s[m])
		}
		out[m] = spreadOf(values)
	}
	return out
}

// ratios returns the spread of ours over theirs, each round compared with the
// same round: a slow moment of the machine hits both.
func ratios(ours, theirs []sample, m metric) spread {
	values := make([]float64, 0, len(ours))
	for i := range min(len(ours), len(theirs)) {
		values = append(values, ours[i][m]/theirs[i][m])
	}
	return spreadOf(values)
}
