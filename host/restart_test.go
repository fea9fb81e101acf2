package host

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"pgregory.net/rapid"
)

// TestRestartPolicy compares the decisions with those of a model that keeps
// every run there ever was and looks through all of them each time.
func TestRestartPolicy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawRestarts(t)
		p, err := newPolicy(spec)
		if err != nil {
			t.Fatalf("%+v: %v", spec, err)
		}
		var h history
		var runs []pastRun
		for range rapid.IntRange(1, 40).Draw(t, "runs") {
			r, random := drawRun(t), rapid.Float64Range(0, 0.999).Draw(t, "random")
			got := p.next(&h, r, random)
			runs = append(runs, pastRun{run: r})
			want, delay := slowVerdict(p, runs)
			runs[len(runs)-1].delay = delay
			if got.do != want || (got.why == "") != (got.do == startAgain) {
				t.Fatalf("after %d runs: %+v, want %v; policy %+v, runs %+v", len(runs), got, want, p, runs)
			}
			if got.do != startAgain {
				return
			}
			low, high := float64(delay)*(1-p.Backoff.Jitter), float64(delay)*(1+p.Backoff.Jitter)
			if d := float64(got.after); d < low-1 || d > high+1 {
				t.Fatalf("after %d runs: delay %v, want %v give or take %v of it", len(runs), got.after, delay, p.Backoff.Jitter)
			}
			if p.MaxRestarts > 0 && len(h.window) > p.MaxRestarts || p.Within == 0 && len(h.window) > 0 {
				t.Fatalf("%d lengths are remembered, policy %+v", len(h.window), p)
			}
		}
	})
}

// pastRun is a run and the delay that was decided on after it.
type pastRun struct {
	run
	delay time.Duration
}

// slowVerdict is the slow and obvious policy: what to do after runs, and the
// delay without jitter.
func slowVerdict(p policy, runs []pastRun) (action, time.Duration) {
	last := runs[len(runs)-1]
	switch {
	case last.how == askedFor, p.mode == Never, p.mode == OnFailure && last.how == succeeded:
		return beDone, 0
	}
	unhealthy := row(runs, func(i int) bool {
		needed := p.Healthy
		if i > 0 && 2*runs[i-1].delay > needed {
			needed = 2 * runs[i-1].delay
		}
		return runs[i].ready.IsZero() || runs[i].ended.Sub(runs[i].ready) < needed
	})
	unready := row(runs, func(i int) bool { return runs[i].ready.IsZero() })
	hopeless := row(runs, func(i int) bool { return runs[i].how == unstartable })
	restarts := unhealthy - 1
	if p.Within > 0 {
		restarts = 0
		var running time.Duration
		for i := len(runs) - 1; i > 0; i-- { // the first run was no restart
			if running += runs[i].took(); running < p.Within {
				restarts++
			}
		}
	}
	if hopeless >= 3 || p.MaxUnready > 0 && unready >= p.MaxUnready || p.MaxRestarts >= 0 && restarts >= p.MaxRestarts {
		return giveUp, 0
	}
	delay := float64(p.Backoff.Min)
	for range unhealthy - 1 {
		delay = min(delay*p.Backoff.Factor, float64(p.Backoff.Max))
	}
	return startAgain, time.Duration(math.Round(delay))
}

// row returns for how many runs up to the last one is is so.
func row(runs []pastRun, is func(i int) bool) int {
	n := 0
	for i := len(runs) - 1; i >= 0 && is(i); i-- {
		n++
	}
	return n
}

// drawRestarts draws a spec whose limits are easy to meet exactly.
func drawRestarts(t *rapid.T) ProcSpec {
	least := time.Duration(rapid.IntRange(1, 4).Draw(t, "min")) * 500 * time.Millisecond
	return ProcSpec{
		Name:    "worker",
		Restart: RestartMode(rapid.IntRange(1, 2).Draw(t, "mode")),
		RestartLimits: RestartLimits{
			MaxRestarts: rapid.IntRange(-1, 12).Draw(t, "restarts"),
			Within:      time.Duration(rapid.SampledFrom([]int{0, 0, 5, 60}).Draw(t, "within")) * time.Second,
			MaxUnready:  rapid.IntRange(-1, 4).Draw(t, "unready"),
			Healthy:     time.Duration(rapid.IntRange(0, 10).Draw(t, "healthy")) * time.Second,
			Backoff: Backoff{
				Min: least, Max: least * time.Duration(rapid.IntRange(1, 16).Draw(t, "max")),
				Factor: rapid.SampledFrom([]float64{0, 1, 2, 3}).Draw(t, "factor"),
				Jitter: rapid.SampledFrom([]float64{-1, 0, 0.5, 1}).Draw(t, "jitter"),
			},
		},
	}
}

// drawRun draws a run that is likely to have some.
func drawRun(t *rapid.T) run {
	r := run{started: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	r.ended = r.started.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "took")) * time.Second)
	r.how = rapid.SampledFrom([]ending{failed, failed, failed, failed, failed, failed, succeeded, unstartable, askedFor}).Draw(t, "how")
	if r.how != unstartable && rapid.IntRange(0, 3).Draw(t, "ready") > 0 {
		r.ready = r.started
	}
	return r
}

// crashes returns the verdicts on runs that were ready at once and failed
// after that time, until one is not to start again.
func crashes(p policy, most int, took time.Duration) []verdict {
	var h history
	var all []verdict
	for range most {
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		all = append(all, p.next(&h, run{started: at, ready: at, ended: at.Add(took)}, 0.5))
		if all[len(all)-1].do != startAgain {
			break
		}
	}
	return all
}

// TestRestartDefaults is AC-6: 500 ms doubling to 60 s, the tenth unhealthy run
// is the last, the third that never became ready too.
func TestRestartDefaults(t *testing.T) {
	p, err := newPolicy(ProcSpec{Restart: OnFailure})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range crashes(p, 100, 0) {
		got = append(got, fmt.Sprint(v.after))
		if v.do == giveUp {
			got[len(got)-1] = v.why
		}
	}
	want := "[500ms 1s 2s 4s 8s 16s 32s 1m0s 1m0s it was not healthy 10 times in a row]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}

	var h history
	for i, want := range []action{startAgain, startAgain, giveUp} {
		if v := p.next(&h, run{}, 0.5); v.do != want {
			t.Errorf("run %d that never became ready: %+v, want %v", i+1, v, want)
		}
	}
	if v := p.next(&history{}, run{how: succeeded}, 0); v.do != beDone {
		t.Errorf("a clean end: %+v", v)
	}
	low, high := p.next(&history{}, run{}, 0), p.next(&history{}, run{}, 1)
	if low.after != 400*time.Millisecond || high.after != 600*time.Millisecond {
		t.Errorf("jitter from %v to %v, want 20%% around 500ms", low.after, high.after)
	}
}

// TestRestartWindow: a window limit and a growing backoff do not cancel each
// other, because the delays do not count.
func TestRestartWindow(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits RestartLimits
		took   time.Duration
		want   int // runs; 1000 is no end
	}{
		{"60 in 10 minutes, delays of up to 60 s", RestartLimits{MaxRestarts: 60, Within: 10 * time.Minute}, time.Second, 61},
		{"5 in 10 s, at once", RestartLimits{MaxRestarts: 5, Within: 10 * time.Second}, 0, 6},
		{"5 in 10 s, just often enough", RestartLimits{MaxRestarts: 5, Within: 10 * time.Second}, 2*time.Second - 1, 6},
		{"5 in 10 s, just not often enough", RestartLimits{MaxRestarts: 5, Within: 10 * time.Second}, 2 * time.Second, 1000},
		{"5 in 10 minutes, healthy in between", RestartLimits{MaxRestarts: 5, Within: 10 * time.Minute}, time.Minute, 6},
		{"without a window, healthy in between", RestartLimits{MaxRestarts: 5}, time.Minute, 1000},
		{"without a window, not quite healthy", RestartLimits{MaxRestarts: 5}, 30*time.Second - 1, 6},
		{"no limit", RestartLimits{MaxRestarts: -1}, 0, 1000},
		{"no limit within", RestartLimits{MaxRestarts: -1, Within: time.Hour}, 0, 1000},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := newPolicy(ProcSpec{Restart: OnFailure, RestartLimits: test.limits})
			if err != nil {
				t.Fatal(err)
			}
			if got := crashes(p, 1000, test.took); len(got) != test.want {
				t.Errorf("%d runs, want %d; the last verdict: %+v", len(got), test.want, got[len(got)-1])
			}
		})
	}
}

// TestHealthyGrowsWithTheDelay: after a long delay a proc has to show for
// longer that it works, or a proc that fails after 30 s would never be given up.
func TestHealthyGrowsWithTheDelay(t *testing.T) {
	p, err := newPolicy(ProcSpec{Restart: Always})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ran := func(d time.Duration) run { return run{started: at, ready: at, ended: at.Add(d), how: succeeded} }
	h := history{unhealthy: 8, delay: time.Minute}
	if v := p.next(&h, ran(2*time.Minute-1), 0.5); v.do != startAgain || v.after != time.Minute {
		t.Errorf("shorter than twice the delay: %+v", v)
	}
	if v := p.next(&h, ran(2*time.Minute), 0.5); v.do != startAgain || v.after != 500*time.Millisecond {
		t.Errorf("twice the delay: %+v, want a fresh start", v)
	}
}

// TestUnstartable: what cannot be started is not tried for ever, even without
// any limit, and a program that is back in time is forgiven.
func TestUnstartable(t *testing.T) {
	p, err := newPolicy(ProcSpec{Restart: Always, RestartLimits: RestartLimits{MaxRestarts: -1, MaxUnready: -1}})
	if err != nil {
		t.Fatal(err)
	}
	var h history
	for i, test := range []struct {
		how  ending
		want action
	}{
		{unstartable, startAgain}, {unstartable, startAgain}, {failed, startAgain},
		{unstartable, startAgain}, {unstartable, startAgain}, {unstartable, giveUp},
	} {
		if v := p.next(&h, run{how: test.how}, 0.5); v.do != test.want {
			t.Errorf("run %d: %+v, want %v", i+1, v, test.want)
		}
	}
}

func TestRunOf(t *testing.T) {
	for _, test := range []struct {
		exit Exit
		want ending
	}{
		{Exit{}, failed},
		{Exit{Kind: launch.Stopped}, succeeded},
		{Exit{Kind: launch.Stopped, Code: 1}, failed},
		{Exit{Kind: launch.Stopped, Cause: "did not answer its probe"}, failed},
		{Exit{Kind: launch.Failed}, failed},
		{Exit{Kind: launch.Killed, Signal: 9}, failed},
		{Exit{Kind: launch.Killed, Signal: 9, Requested: launch.Request{By: "a"}}, askedFor},
		{Exit{Kind: launch.Stopped, Requested: launch.Request{By: "a"}}, askedFor},
	} {
		if got := runOf(test.exit).how; got != test.want {
			t.Errorf("%v: got %v, want %v", test.exit, got, test.want)
		}
	}
}

func TestRestartLimitsThatMeanNothing(t *testing.T) {
	for _, l := range []RestartLimits{
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
		if _, err := newPolicy(ProcSpec{RestartLimits: l}); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	for _, l := range []RestartLimits{
		{},
		{Backoff: Backoff{Min: time.Hour}},
		{Backoff: Backoff{Min: math.MaxInt64, Factor: math.MaxFloat64}},
	} {
		p, err := newPolicy(ProcSpec{Restart: Always, RestartLimits: l})
		if err != nil {
			t.Errorf("%+v: %v", l, err)
		}
		for _, v := range crashes(p, 9, 0) {
			if v.after < p.Backoff.Min/2 {
				t.Errorf("%+v: %+v", l, v)
			}
		}
	}
}

func TestRestartModeText(t *testing.T) {
	for _, m := range []RestartMode{Never, OnFailure, Always} {
		text, err := m.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back RestartMode
		if err := back.UnmarshalText(text); err != nil || back != m {
			t.Errorf("%v: read back as %v, %v", m, back, err)
		}
	}
	var m RestartMode
	if err := m.UnmarshalText([]byte("sometimes")); err == nil || m != Never {
		t.Errorf("sometimes: %v, %v", m, err)
	}
}
