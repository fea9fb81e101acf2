package actor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
)

// An actor that calls itself would wait for itself: it is told so at once, and
// goes on.
func TestCallOfItself(t *testing.T) {
	inBubble(t, quiet(), func(t *testing.T, ctx context.Context, p *actor.Proc) {
		ref := newDoer(t, ctx, p, "d", &doer{})
		_, err := doFunc.Call(ctx, ref, func(ctx context.Context) (int, error) {
			bound, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return doFunc.Call(bound, ref, seven)
		})
		if !errors.Is(err, actor.ErrSelfCall) {
			t.Errorf("got %v, want %v", err, actor.ErrSelfCall)
		}
		if n, err := doFunc.Call(ctx, ref, seven); n != 7 || err != nil {
			t.Errorf("afterwards: %d, %v; want 7", n, err)
		}
	})
}
