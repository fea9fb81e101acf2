package main

import (
	"context"

	"github.com/hyperactor/hyperactor/actor"
)

// Contenders within this process: shapes with the network "local".
const (
	localName = "ours, one proc"
	chanName  = "Go channel"
)

// local is ours between a caller and an actor of the same proc.
type local struct{}

func (local) name() string         { return localName }
func (local) carries(s shape) bool { return s.Network == "local" }

func (local) open(ctx context.Context, _ shape) (*link, error) {
	p, err := actor.NewProc(actor.Config{ID: nearProc(0)})
	if err != nil {
		return nil, err
	}
	m := newMeter()
	ref, err := receiverTypeFor(func() *meter { return m }).Spawn(p.Context(ctx), p.ID(), "receiver", actor.None{})
	if err != nil {
		return nil, err
	}
	end := func() error { return p.Stop(context.Background(), closeBound) }
	return &link{carrier: &actorCarrier{proc: p, to: ref, end: end}, far: nearby{m}}, nil
}

// goChannel is a goroutine that reads a channel: a mailbox without anything.
type goChannel struct{}

func (goChannel) name() string         { return chanName }
func (goChannel) carries(s shape) bool { return s.Network == "local" }

func (goChannel) open(context.Context, shape) (*link, error) {
	m := newMeter()
	c := &chanCarrier{in: make(chan []byte, 1024), ended: make(chan struct{})}
	go func() { // close waits for it
		defer close(c.ended)
		for body := range c.in {
			m.handle(body)
		}
	}()
	return &link{carrier: c, far: nearby{m}}, nil
}

type chanCarrier struct {
	in    chan []byte
	ended chan struct{}
}

func (c *chanCarrier) send(_ context.Context, body []byte) error {
	c.in <- body
	return nil
}

func (c *chanCarrier) flush(context.Context) error { return nil }

func (c *chanCarrier) call(context.Context, []byte) error { return errNoCalls }

func (c *chanCarrier) close() error {
	close(c.in)
	<-c.ended
	return nil
}
