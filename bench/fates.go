package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// fate is what became of a number of equal messages, as far as their sender
// can know.
type fate string

// The fates, from good to bad.
const (
	delivered fate = "delivered, equal"
	refused   fate = "error for each that was not delivered"
	broken    fate = "connection broken, with an error"
	lost      fate = "LOST without a word"
	damaged   fate = "DAMAGED without a word"
)

// fates is a case: a contender, and messages sent one after the other. Error
// is the first that the sender got.
type fates struct {
	Contender string `json:"contender"`
	Size      int    `json:"size"`
	Batch     int    `json:"batch"`
	Handled   int64  `json:"handled"`
	Fate      fate   `json:"fate"`
	Error     string `json:"error,omitempty"`
}

// fateBatches are how many messages are sent one after the other. Of large
// messages there are fewer: maxBatchBytes.
func fateBatches() []int { return []int{1, 7, 100} }

const maxBatchBytes = 64 << 20

// fateSizes returns the sizes that are tried, up to limit: powers of step, one
// less and one more, and what lies just below the limit of a frame of ours.
func fateSizes(limit, step int) []int {
	sizes := []int{0}
	for n := 1; n <= limit; n *= step {
		sizes = append(sizes, n-1, n, n+1)
	}
	for _, room := range []int{32, 64, 80, 96, 112, 128, 256, 1024} { // for the envelope
		sizes = append(sizes, 16<<20-room)
	}
	sizes = slices.DeleteFunc(sizes, func(n int) bool { return n > limit })
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// fates tries every size and batch with everybody, at default limits.
func (b *bench) fates(ctx context.Context) ([]fates, error) {
	s := shape{Network: "tcp", Size: 64}
	var all []fates
	for _, c := range those(b, s, "gRPC stream", "NATS", "net/rpc", oursName, bulkName) {
		fmt.Fprintln(b.talk, " ", c.name())
		var l *link
		for _, size := range fateSizes(b.maxSize, b.sizeStep) {
			body := pattern(size)
			for _, batch := range fateBatches() {
				if batch > 1 && batch*size > maxBatchBytes {
					continue
				}
				var err error
				if l == nil {
					if l, err = c.open(ctx, s); err != nil {
						return all, err
					}
				}
				f := try(ctx, l, body, batch)
				f.Contender = c.name()
				all = append(all, f)
				if f.Fate != delivered && f.Fate != refused {
					l.close()
					l = nil
				}
			}
		}
		if l != nil {
			l.close()
		}
	}
	return all, nil
}

// try sends a batch and finds out what became of it.
func try(ctx context.Context, l *link, body []byte, batch int) fates {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ctx = l.context(ctx)
	f := fates{Size: len(body), Batch: batch}
	note := func(err error) {
		if err != nil && f.Error == "" {
			f.Error = err.Error()
		}
	}
	note(l.far.expect(ctx, len(body)))
	before, returnedBefore := l.sent, returned(l)
	for range batch {
		if err := l.carrier.send(ctx, body); err != nil {
			note(err)
			continue
		}
		l.sent++
	}
	note(l.carrier.flush(ctx))
	told := func() int64 { return int64(batch) - (l.sent - before) + returned(l) - returnedBefore }
	const step = 100 * time.Millisecond
	patience := step + 20*time.Duration(len(body)) // 50 MB/s is not lost
	var got tally
	for waited := time.Duration(0); ; waited += step {
		var err error
		got, err = l.far.await(ctx, l.sent-(returned(l)-returnedBefore), step)
		note(err)
		f.Handled = got.Handled - before
		if f.Handled+told() >= int64(batch) || f.Error != "" || waited > patience {
			break
		}
		note(over(l))
	}
	f.Fate = fateOf(int64(batch), f.Handled, told(), got.Damaged, f.Error != "")
	return f
}

// fateOf sums up: of sent messages some were handled and told were refused or
// came back; heard says whether the sender saw any error at all.
func fateOf(sent, handled, told, bad int64, heard bool) fate {
	switch {
	case bad > 0:
		return damaged
	case handled == sent:
		return delivered
	case handled+told == sent:
		return refused
	case heard:
		return broken
	}
	return lost
}

// over is why the carrier can carry no more, if it knows by itself.
func over(l *link) error {
	if o, ok := l.carrier.(interface{ over() error }); ok {
		return o.over()
	}
	return nil
}

// returned is how many messages came back, if the carrier knows such a thing.
func returned(l *link) int64 {
	if r, ok := l.carrier.(interface{ returned() int64 }); ok {
		return r.returned()
	}
	return 0
}
