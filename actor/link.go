package actor

import (
	"context"
	"fmt"

	"github.com/hyperactor/hyperactor/wire"
)

// linkMethod is the method of a Watch that asks for a link, and of the Down from
// the end that made one.
const linkMethod = "link"

// Link ties the actor whose handler's ctx this is to the actor ref, wherever
// that is: when one of them fails, so does the other, with the cause in its
// failure (AC-10). That goes for the loss of a proc, too, and for a ref that is
// not there: who cannot be reached cannot be relied on. A clean end fails
// nobody: it ends the link. Linking twice is linking once.
//
// A link joins two runs. If one of them fails the other does, although both may
// be restarted then, and what is restarted has no links.
//
// ctx bounds finding a way to the proc of ref.
func Link[A any](ctx context.Context, ref Ref[A]) error {
	s, err := linker(ctx, ref)
	if err != nil || ref.id == s.id() {
		return err
	}
	p := s.proc
	p.ties.Lock()
	linked := p.ties.linked(s.cell, ref.id) != nil
	p.ties.Unlock()
	if linked {
		return nil
	}
	if err := p.tie(ctx, s, &tie{peer: ref.id, cell: s.cell, link: true}); err != nil {
		return fmt.Errorf("link to %s: %w", ref, err)
	}
	return nil
}

// Unlink ends what Link began, whichever of the two called that. A failure of
// ref that was not handled before does nothing afterwards.
func Unlink[A any](ctx context.Context, ref Ref[A]) error {
	s, err := linker(ctx, ref)
	if err != nil {
		return err
	}
	s.proc.cutTies(s.cell, func(t *tie) bool { return t.link && t.peer == ref.id }, nil)
	return nil
}

func linker[A any](ctx context.Context, ref Ref[A]) (*sender, error) {
	s, err := senderOf(ctx)
	if err == nil && s.cell == nil {
		err = fmt.Errorf("link to %s: %w: the ctx is not that of an actor", ref, ErrNoActor)
	}
	return s, err
}

// Linked is an actor that does not fail with those that it is linked to: it is
// told instead, once for each link, ahead of messages. An error that LinkDown
// returns is a failure of the actor.
type Linked interface {
	LinkDown(ctx context.Context, d Down) error
}

// linkNote is the failure of one actor on its way to another one that is linked
// to it.
type linkNote struct {
	tie  *tie
	down Down
}

func (n *linkNote) run(c *cell) error {
	if !n.tie.handled() || c.actor == nil || c.halt.Load() {
		return nil
	}
	if l, ok := c.actor.(Linked); ok {
		return l.LinkDown(c.ctx(), n.down)
	}
	return fmt.Errorf("linked: %w", n.down.Err)
}

func (n *linkNote) reject(*cell, wire.Reason, string) {}
func (n *linkNote) reuse() bool                       { return false }
