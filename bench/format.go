package main

import (
	"fmt"
	"strings"
)

// label is the metric as the head of a column: its format has the unit.
func (m metric) label() string {
	switch m {
	case messageRate:
		return "messages"
	case byteRate:
		return "bytes"
	case nearMemory, farMemory:
		return m.side() + " heap and stacks/session"
	}
	for _, unit := range []string{" ns/msg", " ns", " ms/s"} {
		if s, ok := strings.CutSuffix(string(m), unit); ok {
			return s
		}
	}
	return strings.Replace(string(m), " B/", "/", 1)
}

func (m metric) side() string {
	side, _, _ := strings.Cut(string(m), " ")
	return side
}

// scale is a unit to write a value in, and how many decimals it then gets.
type scale struct {
	divisor  float64
	unit     string
	decimals int
}

// scale returns that for values like v.
func (m metric) scale(v float64) scale {
	switch m {
	case messageRate:
		return decimal(v, "/s")
	case byteRate:
		return decimal(v, "B/s")
	case p50, p99:
		return scale{1e3, " µs", 1}
	case nearCPU, farCPU:
		if v < 1e4 {
			return scale{1, " ns", 0}
		}
		return scale{1e3, " µs", 0}
	case nearMemory, farMemory, nearRSS, farRSS:
		return scale{1024, " KiB", 1}
	case nearIdle, farIdle:
		return scale{1, " ms/s", 1}
	}
	return scale{1, "", 2}
}

// decimal is the scale with the k, M or G that leaves one to three digits
// before the point, and three in all.
func decimal(v float64, unit string) scale {
	s := scale{1, " " + unit, 0}
	for _, p := range []struct {
		factor float64
		letter string
	}{{1e3, "k"}, {1e6, "M"}, {1e9, "G"}} {
		if v >= p.factor {
			s = scale{p.factor, " " + p.letter + unit, 0}
		}
	}
	switch first := v / s.divisor; {
	case first < 10:
		s.decimals = 2
	case first < 100:
		s.decimals = 1
	}
	return s
}

func (s scale) number(v float64) string { return fmt.Sprintf("%.*f", s.decimals, v/s.divisor) }

// format is a value of the metric with its unit.
func (m metric) format(v float64) string {
	s := m.scale(v)
	return s.number(v) + s.unit
}

// formatSpread is the median with its unit, and the others.
func (m metric) formatSpread(v spread) string {
	s := m.scale(v.Median)
	return fmt.Sprintf("%s%s [%s to %s]", s.number(v.Median), s.unit, s.number(v.Min), s.number(v.Max))
}

// byteSize writes a size that is a round number of its unit.
func byteSize(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
