package main

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/authority"
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

// A certificate that is not valid is an error, so that others can watch for it.
func TestShowOfAnExpiredCertificate(t *testing.T) {
	var out, errs strings.Builder
	file := filepath.Join(t.TempDir(), "alpha", "cert.pem")
	synctest.Test(t, func(t *testing.T) { // it is the year 2000
		a, err := authority.New("demo", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		h, err := a.Host("alpha", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Save(filepath.Dir(file)); err != nil {
			t.Fatal(err)
		}
		if code := runCA([]string{"show", file}, &out, &errs); code != exitOK || errs.Len() > 0 {
			t.Errorf("in time: code %d, %s", code, &errs)
		}
	})
	for _, args := range [][]string{{"show", file}, {"show", "--json", file}} {
		out.Reset()
		errs.Reset()
		code := runCA(args, &out, &errs)
		if want := "hyper ca: " + file + ": host hyper://alpha.demo/alpha has expired, on 2000-01-01T01:00:00Z\n"; code != exitFailed || errs.String() != want {
			t.Errorf("%v: code %d, %q, want %q", args, code, &errs, want)
		}
		if !strings.Contains(out.String(), "hyper://alpha.demo/alpha") {
			t.Errorf("%v prints %q", args, &out)
		}
	}
}

func TestShowOfAnInvalidCertificate(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := shown{File: "f", Kind: "host", Name: "n", From: at, Until: at.Add(10 * day)}
	for _, c := range []struct {
		after, within time.Duration
		want          string
	}{
		{0, 0, ""},
		{-time.Second, 0, "f: host n is not valid before 2026-01-01T00:00:00Z"},
		{8 * day, day, ""},
		{9 * day, day, ""},
		{9*day + time.Second, day, "f: host n expires soon, on 2026-01-11T00:00:00Z"},
		{10*day + time.Second, 0, "f: host n has expired, on 2026-01-11T00:00:00Z"},
	} {
		got := ""
		if err := s.check(at.Add(c.after), c.within); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("after %v, within %v: %q, want %q", c.after, c.within, got, c.want)
		}
	}
}
