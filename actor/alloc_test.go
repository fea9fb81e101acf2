package actor_test

import (
	"context"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/hyperactor/hyperactor/actor"
)

// allocs returns how many allocations the whole program makes for one of many
// messages that f sends; flush waits until they have been handled.
func allocs(t *testing.T, f, flush func() error) float64 {
	t.Helper()
	const messages = 2000
	return testing.AllocsPerRun(5, func() {
		for range messages {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
		if err := flush(); err != nil {
			t.Fatal(err)
		}
	}) / messages
}

// skipIfRaced skips a test that counts allocations: with the race detector
// pools forget on purpose.
func skipIfRaced(t *testing.T) {
	t.Helper()
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector makes sync.Pool forget")
	}
}

// Within a proc messages cost no allocation.
func TestLocalMessagesDoNotAllocate(t *testing.T) {
	skipIfRaced(t)
	p, ctx := benchProc(t)
	ref := spawnCounter(t, ctx, p)
	call := func() error { _, err := add.Call(ctx, ref, 1); return err }
	if n := allocs(t, func() error { return add.Send(ctx, ref, 1) }, call); n > 0.05 {
		t.Errorf("a Send allocates %.2f times", n)
	}
	if n := allocs(t, call, call); n > 0.05 {
		t.Errorf("a Call allocates %.2f times", n)
	}
}

// Between processes a message costs nothing at the sender, and what its request
// consists of at the receiver, which has a place of its own for small bodies
// that are decoded later.
func TestRealRemoteMessagesAllocateLittle(t *testing.T) {
	skipIfRaced(t)
	ctx, ref := overSocket(t, nil)
	flush := func() error { _, err := sinkSum.Call(ctx, ref, nil); return err }
	msg := make([]byte, 64)
	if n := allocs(t, func() error { return sinkPut.Send(ctx, ref, msg) }, flush); n > 1.5 {
		t.Errorf("a Send of bytes allocates %.2f times, at both sides", n)
	}
	if n := allocs(t, func() error { return sinkPutBlob.Send(ctx, ref, blob{1, msg}) }, flush); n > 2.5 {
		t.Errorf("a Send of a struct allocates %.2f times, at both sides", n)
	}
	if n := allocs(t, func() error { _, err := sinkSum.Call(ctx, ref, msg); return err }, flush); n > 2.5 {
		t.Errorf("a Call allocates %.2f times, for two messages at both sides", n)
	}
}

// Hooks and traces cost those messages something that have them, and no more than this.
func TestTracedMessagesAllocateLittle(t *testing.T) {
	skipIfRaced(t)
	p, ctx := benchProc(t)
	ref := spawnCounter(t, ctx, p)
	traced := actor.ContextWithTrace(ctx, someTrace)
	flush := func() error { _, err := add.Call(context.WithoutCancel(ctx), ref, 1); return err }
	if n := allocs(t, func() error { return add.Send(traced, ref, 1) }, flush); n > 5.5 {
		t.Errorf("a traced Send allocates %.2f times", n)
	}
}
