package cable

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/id"
)

// Load is a run of numbered messages from one sender to the ledger of a proc.
type Load struct {
	To    id.Proc
	From  string // the actor that sends
	First int    // number of the first message
	Count int
	Size  int           // of a body
	Every time.Duration // from one message to the next
	Call  bool          // wait for each to be handled
}

// body returns what message n of a sender carries.
func (l *Load) body(n int) []byte {
	b := make([]byte, l.Size)
	rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, l.From, n))).Read(b)
	return b
}

// account returns what the ledger has to say when it has handled all of it.
func (l *Load) account() Account {
	sum := sha256.New()
	for n := l.First; n < l.First+l.Count; n++ {
		sum.Write(l.body(n))
	}
	return Account{Handled: l.Count, Last: l.First + l.Count - 1, Digest: digest(sum)}
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:8]) }

// Sent is how a Load went.
type Sent struct {
	Outcomes []Outcome     // of what failed, by number
	Slowest  time.Duration // of the calls or sends
}

// Outcome is how a message failed.
type Outcome struct {
	N     int
	Error string
	Doubt bool // it was perhaps handled
}

// source sends.
type source struct{ returned []actor.Undelivered }

var (
	run        = actor.On("source.run", (*source).run)
	returned   = actor.On("source.returned", func(s *source, _ context.Context, _ actor.None) ([]string, error) { return s.list(), nil })
	sourceType = actor.Define("source", func(context.Context, actor.None) (*source, error) { return &source{}, nil }, run, returned)
)

func (s *source) run(ctx context.Context, l Load) (Sent, error) {
	var out Sent
	to := ledgerOf(l.To)
	next := time.Now()
	for n := l.First; n < l.First+l.Count; n++ {
		pause(ctx, time.Until(next))
		next = next.Add(l.Every)
		p := Put{From: l.From, N: n, Body: l.body(n)}
		began := time.Now()
		var err error
		if l.Call {
			_, err = put.Call(ctx, to, p)
		} else {
			err = put.Send(ctx, to, p)
		}
		out.Slowest = max(out.Slowest, time.Since(began))
		if err != nil {
			out.Outcomes = append(out.Outcomes, Outcome{N: n, Error: err.Error(), Doubt: errors.Is(err, actor.ErrInDoubt)})
		}
	}
	return out, nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Undeliverable keeps what came back.
func (s *source) Undeliverable(_ context.Context, u actor.Undelivered) {
	s.returned = append(s.returned, u)
}

func (s *source) list() []string {
	all := []string{}
	for _, u := range s.returned {
		all = append(all, u.Err().Error())
	}
	return all
}

// Put is a message of a Load.
type Put struct {
	From string
	N    int
	Body []byte
}

// Account is what a ledger has had from one sender.
type Account struct {
	Handled int
	Last    int      // number
	Faults  []string // what came twice, or before what was sent earlier, or was skipped
	Digest  string   // of all bodies
}

// ledger handles numbered messages and keeps accounts.
type ledger struct {
	journal *os.File // a line for each, which outlives the process; nil if nobody reads it
	entries map[string]*entry
	held    []actor.Reply[int]
	waiting []waiter
}

// waiter waits for something to be true of a ledger.
type waiter struct {
	until func() bool
	reply actor.Reply[actor.None]
}

type entry struct {
	Account
	sum hash.Hash
}

var (
	put      = actor.OnSend("ledger.put", (*ledger).put)
	accounts = actor.On("ledger.accounts", (*ledger).accounts)
	hold     = actor.OnDefer("ledger.hold", func(l *ledger, _ context.Context, _ int, r actor.Reply[int]) error {
		l.held = append(l.held, r)
		l.tell()
		return nil
	})
	awaitHeld = actor.OnDefer("ledger.await-held", func(l *ledger, _ context.Context, n int, r actor.Reply[actor.None]) error {
		l.await(func() bool { return len(l.held) >= n }, r)
		return nil
	})
	awaitHandled = actor.OnDefer("ledger.await-handled", func(l *ledger, _ context.Context, a Load, r actor.Reply[actor.None]) error {
		l.await(func() bool { return l.entries[a.From] != nil && l.entries[a.From].Handled >= a.Count }, r)
		return nil
	})
	release = actor.On("ledger.release", func(l *ledger, _ context.Context, _ actor.None) (int, error) {
		for i, r := range l.held {
			r.Send(i)
		}
		n := len(l.held)
		l.held = nil
		return n, nil
	})
	ledgerType = actor.Define("ledger", openLedger, put, accounts, hold, release, awaitHeld, awaitHandled)
)

const ledgerName = "ledger"

func ledgerOf(p id.Proc) actor.Ref[*ledger] { return actor.RefOf[*ledger](p.Actor(ledgerName)) }

func openLedger(_ context.Context, journal string) (*ledger, error) {
	l := &ledger{entries: map[string]*entry{}}
	if journal == "" {
		return l, nil
	}
	var err error
	l.journal, err = os.OpenFile(journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return l, err
}

func (l *ledger) put(_ context.Context, p Put) error {
	e := l.entries[p.From]
	if e == nil {
		e = &entry{sum: sha256.New(), Account: Account{Last: p.N - 1}}
		l.entries[p.From] = e
	}
	if p.N != e.Last+1 {
		e.Faults = append(e.Faults, fmt.Sprintf("%d after %d", p.N, e.Last))
	}
	e.Handled++
	e.Last = p.N
	e.sum.Write(p.Body)
	if l.journal != nil {
		if _, err := fmt.Fprintf(l.journal, "%s %d\n", p.From, p.N); err != nil {
			return err
		}
	}
	l.tell()
	return nil
}

func (l *ledger) await(until func() bool, reply actor.Reply[actor.None]) {
	l.waiting = append(l.waiting, waiter{until, reply})
	l.tell()
}

// tell answers those whose wait is over.
func (l *ledger) tell() {
	l.waiting = slices.DeleteFunc(l.waiting, func(w waiter) bool {
		over := w.until()
		if over {
			w.reply.Send(actor.None{})
		}
		return over
	})
}

func (l *ledger) accounts(context.Context, actor.None) (map[string]Account, error) {
	all := map[string]Account{}
	for from, e := range l.entries {
		e.Digest = digest(e.sum)
		all[from] = e.Account
	}
	return all, nil
}

// Cleanup closes the journal.
func (l *ledger) Cleanup(context.Context, error) {
	if l.journal != nil {
		l.journal.Close()
	}
}
