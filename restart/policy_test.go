package restart

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRestartPolicy compares the decisions with those of a model that keeps
// every run there ever was and looks through all of them each time.
func TestRestartPolicy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mode, limits := drawRestarts(t)
		p, err := NewPolicy(mode, limits)
		if err != nil {
			t.Fatalf("%v %+v: %v", mode, limits, err)
		}
		var h History
		var runs []pastRun
		for range rapid.IntRange(1, 40).Draw(t, "runs") {
			r, random := drawRun(t), rapid.Float64Range(0, 0.999).Draw(t, "random")
			got := p.Next(&h, r, random)
			runs = append(runs, pastRun{Run: r})
			want, delay := slowVerdict(p, runs)
			runs[len(runs)-1].delay = delay
			if got.Do != want || (got.Why == "") != (got.Do == Again) {
				t.Fatalf("after %d runs: %+v, want %v; Policy %+v, runs %+v", len(runs), got, want, p, runs)
			}
			if got.Do != Again {
				return
			}
			low, high := float64(delay)*(1-p.limits.Backoff.Jitter), float64(delay)*(1+p.limits.Backoff.Jitter)
			if d := float64(got.After); d < low-1 || d > high+1 {
				t.Fatalf("after %d runs: delay %v, want %v give or take %v of it", len(runs), got.After, delay, p.limits.Backoff.Jitter)
			}
			if b := p.limits.Backoff; got.After < b.Min || got.After > b.Max {
				t.Fatalf("after %d runs: delay %v, want it within %v and %v", len(runs), got.After, b.Min, b.Max)
			}
			if p.limits.MaxRestarts > 0 && len(h.window) > p.limits.MaxRestarts || p.limits.Within == 0 && len(h.window) > 0 {
				t.Fatalf("%d lengths are remembered, Policy %+v", len(h.window), p)
			}
		}
	})
}

// pastRun is a run and the delay that was decided on after it.
type pastRun struct {
	Run
	delay time.Duration
}

// slowVerdict is the slow and obvious Policy: what to do after runs, and the
// delay without jitter.
func slowVerdict(p Policy, runs []pastRun) (Action, time.Duration) {
	last := runs[len(runs)-1]
	switch {
	case last.How == AskedFor, p.mode == Never, p.mode == OnFailure && last.How == Succeeded:
		return Done, 0
	}
	unhealthy := row(runs, func(i int) bool {
		needed := p.limits.Healthy
		if i > 0 && 2*runs[i-1].delay > needed {
			needed = 2 * runs[i-1].delay
		}
		return runs[i].Ready.IsZero() || runs[i].Ended.Sub(runs[i].Ready) < needed
	})
	unready := row(runs, func(i int) bool { return runs[i].Ready.IsZero() })
	hopeless := row(runs, func(i int) bool { return runs[i].How == Unstartable })
	restarts := unhealthy - 1
	if p.limits.Within > 0 {
		restarts = 0
		var running time.Duration
		for i := len(runs) - 1; i > 0; i-- { // the first run was no restart
			if running += runs[i].took(); running < p.limits.Within {
				restarts++
			}
		}
	}
	if hopeless >= 3 || p.limits.MaxUnready > 0 && unready >= p.limits.MaxUnready || p.limits.MaxRestarts >= 0 && restarts >= p.limits.MaxRestarts {
		return GiveUp, 0
	}
	delay := float64(p.limits.Backoff.Min)
	for range unhealthy - 1 {
		delay = min(delay*p.limits.Backoff.Factor, float64(p.limits.Backoff.Max))
	}
	return Again, time.Duration(math.Round(delay))
}

// row returns for how many runs up to the last one is is so.
func row(runs []pastRun, is func(i int) bool) int {
	n := 0
	for i := len(runs) - 1; i >= 0 && is(i); i-- {
		n++
	}
	return n
}

// drawRestarts draws limits that are easy to meet exactly.
func drawRestarts(t *rapid.T) (Mode, Limits) {
	least := time.Duration(rapid.IntRange(1, 4).Draw(t, "min")) * 500 * time.Millisecond
	return Mode(rapid.IntRange(1, 2).Draw(t, "mode")), Limits{
		MaxRestarts: rapid.IntRange(-1, 12).Draw(t, "restarts"),
		Within:      time.Duration(rapid.SampledFrom([]int{0, 0, 5, 60}).Draw(t, "within")) * time.Second,
		MaxUnready:  rapid.IntRange(-1, 4).Draw(t, "unready"),
		Healthy:     time.Duration(rapid.IntRange(0, 10).Draw(t, "healthy")) * time.Second,
		Backoff: Backoff{
			Min: least, Max: least * time.Duration(rapid.IntRange(1, 16).Draw(t, "max")),
			Factor: rapid.SampledFrom([]float64{0, 1, 2, 3}).Draw(t, "factor"),
			Jitter: rapid.SampledFrom([]float64{-1, 0, 0.5, 1}).Draw(t, "jitter"),
		},
	}
}

// drawRun draws a run that is likely to have some.
func drawRun(t *rapid.T) Run {
	r := Run{Started: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	r.Ended = r.Started.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "took")) * time.Second)
	r.How = rapid.SampledFrom([]Ending{Failed, Failed, Failed, Failed, Failed, Failed, Succeeded, Unstartable, AskedFor}).Draw(t, "how")
	if r.How != Unstartable && rapid.IntRange(0, 3).Draw(t, "ready") > 0 {
		r.Ready = r.Started
	}
	return r
}

// crashes returns the verdicts on runs that were ready at once and Failed
// after that time, until one is not to start again.
func crashes(p Policy, most int, took time.Duration) []Verdict {
	var h History
	var all []Verdict
	for range most {
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		all = append(all, p.Next(&h, Run{Started: at, Ready: at, Ended: at.Add(took)}, 0.5))
		if all[len(all)-1].Do != Again {
			break
		}
	}
	return all
}

// TestRestartDefaults is AC-6: 500 ms doubling to 60 s, the tenth unhealthy run
// is the last, the third that never became ready too.
func TestRestartDefaults(t *testing.T) {
	p, err := NewPolicy(OnFailure, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range crashes(p, 100, 0) {
		got = append(got, fmt.Sprint(v.After))
		if v.Do == GiveUp {
			got[len(got)-1] = v.Why
		}
	}
	want := "[500ms 1s 2s 4s 8s 16s 32s 1m0s 1m0s it was not healthy 10 times in a row]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}

	var h History
	for i, want := range []Action{Again, Again, GiveUp} {
		if v := p.Next(&h, Run{}, 0.5); v.Do != want {
			t.Errorf("run %d that never became ready: %+v, want %v", i+1, v, want)
		}
	}
	if v := p.Next(&History{}, Run{How: Succeeded}, 0); v.Do != Done {
		t.Errorf("a clean end: %+v", v)
	}
	for random, want := range map[float64]time.Duration{0: 600 * time.Millisecond, 0.5: 500 * time.Millisecond, 1: 600 * time.Millisecond} {
		if v := p.Next(&History{}, Run{}, random); v.After != want {
			t.Errorf("random %v: the first delay is %v, want %v: 20%% more or less, and not under 500ms", random, v.After, want)
		}
	}
	for random, want := range map[float64]time.Duration{0: 800 * time.Millisecond, 1: 1200 * time.Millisecond} {
		if v := p.Next(&History{delay: time.Second / 2, unhealthy: 1}, Run{}, random); v.After != want {
			t.Errorf("random %v: the second delay is %v, want %v", random, v.After, want)
		}
	}
}

// TestRestartWindow: a window limit and a growing backoff do not cancel each
// other, because the delays do not count.
func TestRestartWindow(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits Limits
		took   time.Duration
		want   int // runs; 1000 is no end
	}{
		{"60 in 10 minutes, delays of up to 60 s", Limits{MaxRestarts: 60, Within: 10 * time.Minute}, time.Second, 61},
		{"5 in 10 s, at once", Limits{MaxRestarts: 5, Within: 10 * time.Second}, 0, 6},
		{"5 in 10 s, just often enough", Limits{MaxRestarts: 5, Within: 10 * time.Second}, 2*time.Second - 1, 6},
		{"5 in 10 s, just not often enough", Limits{MaxRestarts: 5, Within: 10 * time.Second}, 2 * time.Second, 1000},
		{"5 in 10 minutes, healthy in between", Limits{MaxRestarts: 5, Within: 10 * time.Minute}, time.Minute, 6},
		{"without a window, healthy in between", Limits{MaxRestarts: 5}, time.Minute, 1000},
		{"without a window, not quite healthy", Limits{MaxRestarts: 5}, 30*time.Second - 1, 6},
		{"no limit", Limits{MaxRestarts: -1}, 0, 1000},
		{"no limit within", Limits{MaxRestarts: -1, Within: time.Hour}, 0, 1000},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := NewPolicy(OnFailure, test.limits)
			if err != nil {
				t.Fatal(err)
			}
			if got := crashes(p, 1000, test.took); len(got) != test.want {
				t.Errorf("%d runs, want %d; the last Verdict: %+v", len(got), test.want, got[len(got)-1])
			}
		})
	}
}

// TestHealthyGrowsWithTheDelay: after a long delay a proc has to show for
// longer that it works, or a proc that fails after 30 s would never be given up.
func TestHealthyGrowsWithTheDelay(t *testing.T) {
	p, err := NewPolicy(Always, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ran := func(d time.Duration) Run { return Run{Started: at, Ready: at, Ended: at.Add(d), How: Succeeded} }
	h := History{unhealthy: 8, delay: time.Minute}
	if v := p.Next(&h, ran(2*time.Minute-1), 0.5); v.Do != Again || v.After != time.Minute {
		t.Errorf("shorter than twice the delay: %+v", v)
	}
	if v := p.Next(&h, ran(2*time.Minute), 0.5); v.Do != Again || v.After != 500*time.Millisecond {
		t.Errorf("twice the delay: %+v, want a fresh start", v)
	}
}

// TestUnstartable: what cannot be started is not tried for ever, even without
// any limit, and a program that is back in time is forgiven.
func TestUnstartable(t *testing.T) {
	p, err := NewPolicy(Always, Limits{MaxRestarts: -1, MaxUnready: -1})
	if err != nil {
		t.Fatal(err)
	}
	var h History
	for i, test := range []struct {
		how  Ending
		want Action
	}{
		{Unstartable, Again}, {Unstartable, Again}, {Failed, Again},
		{Unstartable, Again}, {Unstartable, Again}, {Unstartable, GiveUp},
	} {
		if v := p.Next(&h, Run{How: test.how}, 0.5); v.Do != test.want {
			t.Errorf("run %d: %+v, want %v", i+1, v, test.want)
		}
	}
}

func TestRestartLimitsThatMeanNothing(t *testing.T) {
	for _, l := range []Limits{
		{Within: -1},
		{Healthy: -1},
		{Backoff: Backoff{Min: -1}},
		{Backoff: Backoff{Min: 2, Max: 1}},
		{Backoff: Backoff{Max: 1}}, // less than the default Min
		{Backoff: Backoff{Factor: 0.5}},
		{Backoff: Backoff{Factor: math.NaN()}},
		{Backoff: Backoff{Factor: math.Inf(1)}},
		{Backoff: Backoff{Jitter: 1.5}},
		{Backoff: Backoff{Jitter: math.NaN()}},
	} {
		if _, err := NewPolicy(Never, l); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	for _, l := range []Limits{
		{},
		{Backoff: Backoff{Min: time.Hour}},
		{Backoff: Backoff{Min: math.MaxInt64, Factor: math.MaxFloat64}},
	} {
		p, err := NewPolicy(Always, l)
		if err != nil {
			t.Errorf("%+v: %v", l, err)
		}
		for _, v := range crashes(p, 9, 0) {
			if v.After < p.limits.Backoff.Min/2 {
				t.Errorf("%+v: %+v", l, v)
			}
		}
	}
}

func TestRestartModeText(t *testing.T) {
	for _, m := range []Mode{Never, OnFailure, Always} {
		text, err := m.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Mode
		if err := back.UnmarshalText(text); err != nil || back != m {
			t.Errorf("%v: read back as %v, %v", m, back, err)
		}
	}
	var m Mode
	if err := m.UnmarshalText([]byte("sometimes")); err == nil || m != Never {
		t.Errorf("sometimes: %v, %v", m, err)
	}
}
