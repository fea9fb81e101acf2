package osproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/internal/handshake"
)

// asks is the child's side of what it asks its host after the handshake: to
// certify public keys (MS-15).
type asks struct {
	control *os.File
	granted bool // the host answers

	mu      sync.Mutex // guards the following
	serial  uint64
	waiting map[uint64]chan handshake.Grant // each with room for its answer
	ended   bool                            // nobody reads answers any more
}

// Why a child gets no certificate.
var (
	errNoGrants = errors.New("the host issues no certificates to its procs: it has no hyperactor.Config.Identity")
	errHostGone = errors.New("the control connection to the host has ended")
)

func newAsks(control *os.File, granted bool) *asks {
	return &asks{control: control, granted: granted, waiting: make(map[uint64]chan handshake.Grant)}
}

// ask has the host certify that public is a key of this proc.
func (a *asks) ask(ctx context.Context, public []byte) ([]byte, error) {
	if !a.granted {
		return nil, errNoGrants
	}
	answer := make(chan handshake.Grant, 1)
	n, err := a.enter(answer)
	if err != nil {
		return nil, err
	}
	defer a.leave(n)
	if err := handshake.Write(a.control, &handshake.Note{Version: handshake.Version, Key: public, Ask: n}); err != nil {
		return nil, err
	}
	select {
	case g, ok := <-answer:
		switch {
		case !ok:
			return nil, errHostGone
		case g.Failure != "":
			return nil, fmt.Errorf("the host refuses: %s", g.Failure)
		}
		return g.Grant, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (a *asks) enter(answer chan handshake.Grant) (n uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return 0, errHostGone
	}
	a.serial++
	a.waiting[a.serial] = answer
	return a.serial, nil
}

func (a *asks) leave(n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, n)
}

// read hands out answers until the control connection has ended or has a
// deadline that is over. It passes over what it does not understand.
func (a *asks) read() {
	defer a.end()
	for {
		var g handshake.Grant
		if err := handshake.Read(a.control, &g); err != nil {
			io.Copy(io.Discard, a.control)
			return
		}
		a.mu.Lock()
		if answer := a.waiting[g.Ask]; answer != nil {
			answer <- g
			delete(a.waiting, g.Ask)
		}
		a.mu.Unlock()
	}
}

// end tells those who wait that there is no answer.
func (a *asks) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for n, answer := range a.waiting {
		close(answer)
		delete(a.waiting, n)
	}
}

// grantBound is how long the child may take to make room for an answer, maxGrant
// what fits into one.
const (
	grantBound = time.Second
	maxGrant   = handshake.MaxMessage / 2
)

// grant answers n, in which the child asks for a certificate. Whose it is to be
// is ours to say: the child of this control connection. An error is the end of
// the connection, part of an answer may be out.
func (b *body) grant(n handshake.Note) error {
	g := handshake.Grant{Ask: n.Ask, Failure: errNoGrants.Error()}
	if issue := b.manager.cfg.Issue; issue != nil {
		var err error
		g.Failure = ""
		g.Grant, err = issue(b.boot.Proc, n.Key)
		if len(g.Grant) > maxGrant {
			g.Grant, err = nil, fmt.Errorf("certificates of %d bytes, at most %d are allowed", len(g.Grant), maxGrant)
		}
		if err != nil {
			b.manager.cfg.Log.Warn("no certificate for a proc", "proc", b.boot.Proc, "err", err)
			g.Failure = failed(err).Failure
		}
	}
	b.control.SetWriteDeadline(time.Now().Add(grantBound))
	return handshake.Write(b.control, &g)
}
