package probe

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperactor/hyperactor/launch"
)

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := NewLog(`listening on :\d+$`)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errOver)
		defer cancel()
		l.Line(launch.Stdout, []byte("listening on nothing"))
		err = l.AwaitReady(ctx)
		if want := `log=listening on :\d+$: not ready (no match in 1 line of output): enough`; !errors.Is(err, errOver) || err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}

		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				if err := l.AwaitReady(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		for _, s := range []launch.Stream{launch.Stdout, launch.Stderr} {
			waiting.Go(func() {
				for range 10 {
					l.Line(s, []byte("now listening on :80"))
				}
			})
		}
		waiting.Wait()
		for range 20 {
			if err := l.AwaitReady(ctx); err != nil {
				t.Errorf("what has happened does not depend on the time left: %v", err)
			}
		}
	})
}
