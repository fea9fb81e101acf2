package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/hyperactor/hyperactor/wire"
)

// errFinished is the end of a session that both sides closed.
var errFinished = errors.New("closed")

// Run serves the session until it ends, over one connection after the other: it
// reads, hands every message to Config.Handle, and writes what Send queues. It
// returns why the session ended, which is never nil. Run is called once.
func (s *Session) Run() error {
	s.cfg.Hub.enlist(s)
	broken := 0 // connections in a row that ended in broken framing and brought nothing
	for {
		l, err := s.connection()
		if err != nil {
			return s.end(err)
		}
		before := s.progress()
		err = s.serve(l)
		if !errors.Is(err, wire.ErrFraming) || s.progress() > before {
			broken = 0
		} else if broken++; broken == maxBroken {
			return s.end(err)
		}
		if over, err := s.over(err); over {
			return s.end(err)
		}
	}
}

// progress counts what either side has received.
func (s *Session) progress() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received.Load() + s.out.acked
}

// end is the end of Run.
func (s *Session) end(err error) error {
	s.mu.Lock()
	s.endLocked(dead, err)
	err = s.err
	unused := s.offered
	s.offered = nil
	s.mu.Unlock()
	if unused != nil {
		unused.sayLast()
	}
	s.cfg.Hub.forget(s)
	s.cfg.Hub.strike(s)
	s.cfg.Hub.cancel(&s.alarm)
	s.freeMemory()
	close(s.done)
	return err
}

// serve reads from l until it ends, and returns why.
func (s *Session) serve(l *line) error {
	err := s.attach(l)
	if err == nil {
		err = s.read(l)
	}
	return s.detach(l, err)
}

// attach makes l the connection of the session: what the peer lacks goes out,
// and what it must know about us.
func (s *Session) attach(l *line) error {
	s.reader.in.resume()
	s.heard.Store(int64(time.Since(s.born)))
	s.mu.Lock()
	if s.state == dead {
		defer s.mu.Unlock()
		return s.err
	}
	if s.replacedLocked(l) {
		s.mu.Unlock()
		return errReplaced
	}
	acked := s.out.acked
	if err := s.out.resume(l.peer.Received); err != nil {
		s.mu.Unlock()
		return err
	}
	if s.out.acked > acked {
		s.spaceLocked()
	}
	if s.why != nil {
		s.resumed++
	}
	begins := !s.begun && l.peer.Resume
	s.begun = s.begun || begins
	now := time.Now()
	s.line, s.since = l, now
	s.writer = writer{keep: s.vigil.keepers > 0, ack: s.dialer != nil && s.why == nil}
	s.ackSent, s.ackAt = l.said, time.Time{} // our hello has acknowledged that much
	s.vigil.connected(now)
	s.vigil.kept = false
	s.watchLocked()
	s.armLocked()
	s.startWriteLocked(true)
	if begins {
		s.cfg.Begun(s)
	}
	return nil
}

// detach ends the use of l, of which err is said, and closes it.
func (s *Session) detach(l *line, err error) error {
	s.mu.Lock()
	s.line, s.since = nil, time.Now()
	if s.vacant != nil {
		close(s.vacant)
		s.vacant = nil
	}
	finished := s.peerClosed && (errors.Is(err, io.EOF) || s.out.acked == s.out.seq)
	s.complete = finished && errors.Is(err, io.EOF)
	if finished {
		l.SetWriteDeadline(time.Now().Add(s.cfg.CloseTimeout)) // our last acknowledgement may still be on its way
	} else {
		l.giveUpLocked(err)
	}
	s.mu.Unlock()
	s.writers.Wait()

	s.mu.Lock()
	switch {
	case finished:
		err = errFinished
	case l.cause != nil:
		err = l.cause
	}
	s.why = err
	l.farewell = s.farewellLocked(err)
	s.mu.Unlock()
	l.in.release()
	l.sayLast()
	return err
}

// farewellLocked returns what the peer is told when a connection ends with
// err: nothing, unless we end it or the peer broke framing (MS-8).
func (s *Session) farewellLocked(err error) []byte {
	if s.state == dead && s.code != 0 {
		return wire.AppendClose(nil, s.received.Load(), s.code, s.err.Error())
	}
	if errors.Is(err, wire.ErrFraming) {
		return wire.AppendClose(nil, s.received.Load(), wire.CloseFraming, err.Error())
	}
	return nil
}

// over reports whether the session has ended with its connection, which ended
// with err, and why.
func (s *Session) over(err error) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == dead:
		return true, s.err
	case errors.Is(err, errFinished):
		return true, err
	case s.last != nil:
		return true, s.last
	case s.resumeFor <= 0:
		return true, err
	}
	if e, ok := errors.AsType[*CloseError](err); ok && e.Code != wire.CloseFraming {
		return true, err
	}
	return false, nil
}

// connection returns the next connection: one that is there already, one that
// we make, or one that the peer makes.
func (s *Session) connection() (*line, error) {
	s.mu.Lock()
	why := s.why
	giveUpAt := s.since.Add(s.resumeFor)
	l := s.offered
	s.offered = nil
	s.mu.Unlock()
	switch {
	case l != nil:
		return l, nil
	case s.dialer != nil:
		return s.redial(giveUpAt, why)
	}
	return s.await(giveUpAt, why)
}

// notResumed is how a session ends that lost its connection because of why and
// got no other one because of err.
func (s *Session) notResumed(why, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == dead:
		return s.err
	case s.last != nil:
		return s.last
	}
	return fmt.Errorf("%w: %w; not resumed: %w", ErrNotResumed, why, err)
}

// await waits until the peer comes back.
func (s *Session) await(until time.Time, why error) (*line, error) {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	for {
		s.mu.Lock()
		l, ended := s.offered, s.state == dead || s.last != nil
		s.offered = nil
		s.mu.Unlock()
		switch {
		case l != nil && !ended:
			return l, nil
		case l != nil:
			l.sayLast()
		}
		if ended {
			return nil, s.notResumed(why, nil)
		}
		select {
		case <-s.changed:
		case <-t.C:
			return nil, s.notResumed(why, errNotBack)
		}
	}
}

var (
	errNotBack   = errors.New("the peer did not come back in time")
	errNoAttempt = errors.New("no time is left")
)

// redial connects to the peer again. The peer listens as long as it lives: if
// nobody does any more, it has ended.
func (s *Session) redial(until time.Time, why error) (*line, error) {
	ctx, cancel := context.WithDeadlineCause(context.Background(), until, errNoAttempt)
	defer cancel()
	s.mu.Lock()
	if s.state == dead || s.last != nil {
		s.mu.Unlock()
		return nil, s.notResumed(why, nil)
	}
	s.giveUp = cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.giveUp = nil
		s.mu.Unlock()
	}()
	var refusedSince time.Time
	for pause := firstPause; ; pause *= 2 {
		l, err := s.reconnect(ctx)
		switch {
		case err == nil:
			return l, nil
		case final(err) || refused(err) && s.dialer.local:
			return nil, s.notResumed(why, err)
		case !refused(err):
			refusedSince = time.Time{}
			pause = min(pause, lastPause)
		case refusedSince.IsZero():
			refusedSince = time.Now()
		case time.Since(refusedSince) >= s.cfg.SuspectAfter:
			return nil, s.notResumed(why, err)
		default:
			pause = min(pause, refusedPause) // the question is soon decided
		}
		if !wait(ctx, pause/2+rand.N(pause/2)) {
			return nil, s.notResumed(why, err)
		}
	}
}

// wait waits for d and reports whether ctx is not done.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
