package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// shape says what is to be carried, and over what.
type shape struct {
	Network string `json:"network"` // unix, tcp, tls (TLS 1.3 over tcp), or local: within this process
	Size    int    `json:"size"`    // bytes of a message
	Calls   bool   `json:"calls"`   // every message is answered with the same bytes; otherwise none is
}

// contender is one way to get messages from this process into another one.
type contender interface {
	name() string
	carries(s shape) bool

	// open starts the other process, and connects. ctx bounds the life of the link.
	open(ctx context.Context, s shape) (*link, error)
}

// link is an open contender: a way into the other process, and that process.
// One goroutine uses it.
type link struct {
	carrier carrier
	far     far
	sent    int64 // all that carrier took, so that far can be asked whether it has it
}

// carrier is the near side of a contender.
type carrier interface {
	// send takes a message on its way; it may keep it back until flush. It waits
	// when the far side is behind: whoever sends cannot outrun who handles. The
	// body is not changed afterwards.
	send(ctx context.Context, body []byte) error

	// flush returns once nothing is kept back any more. What it knows of the
	// failure of earlier sends, it returns.
	flush(ctx context.Context) error

	// call sends a message and waits for the answer.
	call(ctx context.Context, body []byte) error

	close() error
}

// far is the far process, as far as the benchmark itself has to talk to it.
type far interface {
	// expect says that from now on each message has this size, and is compared
	// with the pattern. With a negative size nothing is compared.
	expect(ctx context.Context, size int) error

	// await returns when n messages in all were handled, or nothing has come for
	// the time of patience.
	await(ctx context.Context, n int64, patience time.Duration) (tally, error)

	usage(ctx context.Context, settled bool) (usage, error)

	// profile begins to write a CPU profile to path, and ends with the path "".
	profile(ctx context.Context, path string) error

	close() error
}

// context returns the ctx for everything that is sent over the link. It is made
// once for many messages.
func (l *link) context(ctx context.Context) context.Context {
	if c, ok := l.carrier.(interface {
		context(ctx context.Context) context.Context
	}); ok {
		return c.context(ctx)
	}
	return ctx
}

// close ends both sides. The errors of an end are nobody's concern here: what
// was measured is measured.
func (l *link) close() {
	if l.carrier != nil {
		l.carrier.close()
	}
	l.far.close()
}

// errNoCalls is the answer of what carries one-way messages only.
var errNoCalls = errors.New("it carries no calls")

// Names of contenders that the comparisons need to know.
const (
	oursName    = "ours"
	bulkName    = "ours, Bulk"
	sessionName = "ours, session only"
	bareName    = "bare socket"
	batchedName = "bare socket, batched"
	memcpyName  = "memcpy"
)

// contenders returns all of them, each beside those of its kind.
func contenders(b *bench) []contender {
	all := []contender{memcpy{}, goChannel{}, local{}}
	for _, p := range peers() {
		p.bench = b
		all = append(all, p)
	}
	return append(all, hosted{}, hosted{bulk: true})
}

// those returns the contenders with these names that can carry s.
func those(b *bench, s shape, names ...string) []contender {
	var found []contender
	for _, c := range contenders(b) {
		if slices.Contains(names, c.name()) && c.carries(s) {
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, func(a, b contender) int {
		return slices.Index(names, a.name()) - slices.Index(names, b.name())
	})
	return found
}

// peers returns the contenders whose far side is a process that this program
// starts itself, by going through serveFar.
func peers() []*peer {
	return []*peer{
		barePeer(bareName, false), barePeer(batchedName, true), netRPCPeer(), grpcStreamPeer(), grpcUnaryPeer(), natsPeer(),
		sessionPeer(), gatewayPeer(oursName, false), gatewayPeer(bulkName, true),
	}
}
