// Command pingpong has two actors, each in a child process of its own, send a
// ball to and fro. This program starts them, serves, and waits for the end.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/host"
)

const rounds = 1000

// player is an actor: a plain Go value whose methods are its messages. A port
// is an address that takes values of one type; here they are how many more
// times the ball is to be hit. Ports are plain data and may be sent anywhere.
type player struct {
	Other actor.Port[int] // where the other player takes the ball
	Over  actor.Port[int] // where the ball goes in the end
}

// What a player understands, and how one is made: from parameters that cross
// to its process, here the player itself. The names are those on the wire.
var (
	hit = actor.OnSend("player.hit", (*player).Hit)

	playerType = actor.Define("player", newPlayer, hit)
)

func newPlayer(_ context.Context, p player) (*player, error) { return &p, nil }

// Hit sends the ball on and does not wait for the other player.
func (p *player) Hit(ctx context.Context, left int) error {
	if left == 0 {
		return p.Over.Send(ctx, left)
	}
	return p.Other.Send(ctx, left-1)
}

func main() {
	hyperactor.Main(hyperactor.Config{Types: []actor.AnyType{playerType}}, run) // in a child process this becomes the proc
}

func run(ctx context.Context, rt *hyperactor.Runtime) error {
	over, inbox, err := actor.NewPort[int](ctx) // a port of this process, and what it takes
	if err != nil {
		return err
	}
	defer inbox.Close()
	var players [2]actor.Ref[*player] // the address of an actor is known before it lives
	for i, name := range []string{"ping", "pong"} {
		h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: name}) // a child process; ready, or an error and nothing left
		if err != nil {
			return err
		}
		players[i] = actor.RefOf[*player](h.ID().Actor(name))
	}
	for i, p := range players {
		other := hit.Port(players[1-i]) // one method of an actor is a port, too
		if _, err := playerType.Spawn(ctx, p.ID().Proc, p.ID().Name, player{other, over}); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := hit.Send(ctx, players[0], 2*rounds); err != nil {
		return err
	}
	if _, err := inbox.Recv(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("%d round trips in %v, %v each\n", rounds, took.Round(time.Microsecond), took/rounds)
	return nil // Main stops the procs
}
