package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"strings"
	"time"
)

// bench is one run of everything that was asked for.
type bench struct {
	options
	dir  string    // for sockets, and the certificates of ours
	talk io.Writer // what is being done
}

// options are what the flags say.
type options struct {
	only     *regexp.Regexp // titles; nil means all
	rounds   int
	time     time.Duration // of one sample
	sessions int           // idle ones
	maxSize  int           // of a message, for what becomes of every size
	sizeStep int           // those sizes are powers of it
	profiles string        // a directory; "" means none
}

// report is what a run found out.
type report struct {
	Machine machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	Blocks  []block `json:"blocks"`
	Fates   []fates `json:"fates,omitempty"`
}

// block is a subject with its results.
type block struct {
	Title string   `json:"title"`
	Note  string   `json:"note,omitempty"`
	Shape shape    `json:"shape"`
	Main  []metric `json:"-"`
	Aside []metric `json:"-"`
	Goals []goal   `json:"goals,omitempty"`
	Rows  []row    `json:"rows"` // the first is the base
}

// row is what was measured of one contender.
type row struct {
	Contender string            `json:"contender"`
	Samples   []sample          `json:"samples"`
	Spreads   map[metric]spread `json:"spreads,omitempty"`
	Ratios    map[metric]spread `json:"ratios,omitempty"` // to the base, for what is in Main
	Sessions  int               `json:"sessions,omitempty"`
	Error     string            `json:"error,omitempty"` // why there are no more samples
}

// titles of what is not a race.
const (
	idleTitle  = "idle sessions"
	fatesTitle = "what becomes of every size"
)

func (b *bench) wanted(title string) bool { return b.only == nil || b.only.MatchString(title) }

// run runs what is wanted, one after the other.
func (b *bench) run(ctx context.Context) (r report, err error) {
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return r, err
	}
	defer os.RemoveAll(b.dir)
	if err := certify(b.dir); err != nil {
		return r, err
	}
	r = report{Machine: thisMachine(), Rounds: b.rounds}
	for _, s := range subjects() {
		if !b.wanted(s.title) {
			continue
		}
		fmt.Fprintln(b.talk, s.title)
		block, err := b.race(ctx, s)
		if err != nil {
			return r, fmt.Errorf("%s: %w", s.title, err)
		}
		r.Blocks = append(r.Blocks, block)
	}
	if b.wanted(idleTitle) {
		fmt.Fprintln(b.talk, idleTitle)
		r.Blocks = append(r.Blocks, b.idle(ctx))
	}
	if b.wanted(fatesTitle) {
		fmt.Fprintln(b.talk, fatesTitle)
		r.Fates, err = b.fates(ctx)
	}
	return r, err
}

// failures returns what of ours did not work, whatever its speed.
func (r report) failures() (errs []error) {
	for _, bl := range r.Blocks {
		for _, row := range bl.Rows {
			if row.Error != "" && strings.HasPrefix(row.Contender, oursName) {
				errs = append(errs, fmt.Errorf("%s: %s: %s", bl.Title, row.Contender, row.Error))
			}
		}
	}
	for _, f := range r.Fates {
		if strings.HasPrefix(f.Contender, oursName) && (f.Fate == lost || f.Fate == damaged) {
			errs = append(errs, fmt.Errorf("%s: %d messages of %d bytes: %s", f.Contender, f.Batch, f.Size, f.Fate))
		}
	}
	return errs
}

// runner is a contender in a race.
type runner struct {
	row
	link *link
}

func (r *runner) fail(err error) {
	if err != nil && r.Error == "" {
		r.Error = err.Error()
	}
}

// race opens all contenders and measures them in turns: A B C, A B C, … A slow
// moment of the machine hits neighbours, not one of them five times.
func (b *bench) race(ctx context.Context, s subject) (bl block, err error) {
	if s.pinned {
		undo, err := pin()
		if errors.Is(err, errors.ErrUnsupported) {
			fmt.Fprintln(b.talk, "not pinned:", err)
		} else if err != nil {
			return bl, err
		} else {
			defer func() { err = errors.Join(err, undo()) }()
		}
	}
	var runners []*runner
	for _, c := range those(b, s.shape, s.names...) {
		r := &runner{row: row{Contender: c.name()}}
		r.link, err = c.open(ctx, s.shape)
		if r.fail(err); err == nil {
			defer r.link.close()
		}
		runners = append(runners, r)
	}
	body := pattern(s.shape.Size)
	for round := -1; round < b.rounds; round++ { // the first one warms up
		for _, r := range runners {
			if r.Error == "" {
				r.sample(ctx, s, body, b.time, round >= 0)
			}
		}
	}
	if b.profiles != "" {
		for _, r := range runners {
			r.fail(b.profile(ctx, s, r, body))
		}
	}
	return s.block(runners), nil
}

func (r *runner) sample(ctx context.Context, s subject, body []byte, d time.Duration, counts bool) {
	if !counts {
		d /= 4
	}
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	got, err := s.measure(ctx, r.link, body, d)
	r.fail(err)
	if counts && err == nil {
		r.Samples = append(r.Samples, got)
	}
}

// block makes the results of a race.
func (s subject) block(runners []*runner) block {
	bl := block{Title: s.title, Note: s.note, Shape: s.shape, Main: s.main, Aside: s.aside, Goals: s.goals}
	for _, r := range runners {
		if len(r.Samples) > 0 {
			r.Spreads, r.Ratios = spreads(r.Samples), make(map[metric]spread)
			for _, m := range s.main {
				if base := runners[0].Samples; len(base) > 0 {
					r.Ratios[m] = ratios(r.Samples, base, m)
				}
			}
		}
		bl.Rows = append(bl.Rows, r.row)
	}
	return bl
}

// profile takes CPU profiles of both sides of ours, in a round of their own.
func (b *bench) profile(ctx context.Context, s subject, r *runner, body []byte) (err error) {
	if r.Error != "" || !strings.HasPrefix(r.Contender, oursName) {
		return nil
	}
	words := strings.NewReplacer(" ", "-", ",", "", "/", "-")
	name, err := filepath.Abs(filepath.Join(b.profiles, words.Replace(s.title+" "+r.Contender)))
	if err != nil {
		return err
	}
	f, err := os.Create(name + ".near.pprof")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := r.link.far.profile(ctx, name+".far.pprof"); err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	_, err = s.measure(ctx, r.link, body, 5*b.time)
	pprof.StopCPUProfile()
	return errors.Join(err, r.link.far.profile(ctx, ""))
}
