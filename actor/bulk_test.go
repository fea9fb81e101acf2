package actor_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/actor/actortest"
	"github.com/hyperactor/hyperactor/wire"
)

// album is a message with bulk in it; an albumist gives back what it gets.
type album struct {
	Name  string
	Cover wire.Bulk
	Pages []wire.Bulk
}

type albumist struct{}

var (
	albumEcho = actor.On("album.echo", func(_ *albumist, _ context.Context, a album) (album, error) {
		a.Name += "!"
		return a, nil
	})
	albumLater = actor.OnDefer("album.later", func(_ *albumist, _ context.Context, b wire.Bulk, r actor.Reply[wire.Bulk]) error {
		go r.Send(b)
		return nil
	})
	albumSize = actor.On("album.size", func(_ *albumist, _ context.Context, n int) (wire.Bulk, error) {
		return wire.NewBulk(make([]byte, n)), nil
	})
	albumType = actor.Define("albumist", func(context.Context, actor.None) (*albumist, error) { return &albumist{}, nil },
		albumEcho, albumLater, albumSize)
)

// MS-9: bulk arrives in requests and in replies, deferred or not, between procs
// and within one, where it is passed as it is.
func TestMS9Bulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, _ := n.Add("there", actor.Config{Types: []actor.AnyType{albumType}})
		here, ctx := n.Add("here", actor.Config{Types: []actor.AnyType{albumType}})
		for _, node := range []*actortest.Node{here, there} {
			ref, err := albumType.Spawn(ctx, node.ID(), "a", actor.None{})
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{0, 1, 1000, 256 << 10, 1<<20 + 1} {
				b := bytes.Repeat([]byte{7}, size)
				in := album{"n", wire.NewBulk(b), []wire.Bulk{{}, wire.NewBulk(b)}}
				out, err := albumEcho.Call(ctx, ref, in)
				if err != nil || out.Name != "n!" || len(out.Pages) != 2 || !bytes.Equal(out.Cover.Bytes(), b) || !bytes.Equal(out.Pages[1].Bytes(), b) {
					t.Errorf("%d bytes in %v: %v, %v", size, node.ID(), out, err)
				}
				whole, err := albumLater.Call(ctx, ref, wire.NewBulk(b))
				if err != nil || !bytes.Equal(whole.Bytes(), b) {
					t.Errorf("%d bytes in %v: %v, %v", size, node.ID(), whole, err)
				}
				if node == here && size > 0 && &whole.Bytes()[0] != &b[0] {
					t.Error("copied within a proc")
				}
			}
		}
	})
}

// MS-8, MS-9: bulk that is too much is refused, alone, at its sender: the caller
// or the actor that answers.
func TestMS9BulkTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := actortest.NewNet(t)
		there, _ := n.Add("there", actor.Config{Types: []actor.AnyType{albumType}})
		_, ctx := n.Add("here", actor.Config{})
		ref, err := albumType.Spawn(ctx, there.ID(), "a", actor.None{})
		if err != nil {
			t.Fatal(err)
		}
		b := wire.NewBulk(make([]byte, 256<<20+1))
		if _, err := albumLater.Call(ctx, ref, b); !errors.Is(err, wire.TooLarge) {
			t.Errorf("a request: %v", err)
		}
		pages := make([]wire.Bulk, wire.MaxParts+1)
		for i := range pages {
			pages[i] = wire.NewBulk([]byte{1})
		}
		if _, err := albumEcho.Call(ctx, ref, album{Pages: pages}); !errors.Is(err, wire.TooLarge) {
			t.Errorf("too many parts: %v", err)
		}
		var remote *actor.RemoteError
		if _, err := albumSize.Call(ctx, ref, 256<<20+1); !errors.As(err, &remote) {
			t.Errorf("a reply: %v", err)
		}
		if out, err := albumSize.Call(ctx, ref, 10); err != nil || out.Len() != 10 {
			t.Errorf("afterwards: %v, %v", out, err)
		}
	})
}
