package main

import (
	"testing"
	"time"
)

func TestValidity(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"90d": 90 * day, "1d": day, "12h": 12 * time.Hour, "1m": time.Minute, "1h30m": 90 * time.Minute,
		"": 0, "d": 0, "0d": 0, "-1d": 0, "59s": 0, "1.5d": 0, "1d12h": 0, "soon": 0, "99999999999d": 0, "106752d": 0, "106751d": 106751 * day,
	} {
		got, err := parseValidity(s)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %v, %v; want %v", s, got, err, want)
		}
	}
}
