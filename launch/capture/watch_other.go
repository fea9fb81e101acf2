//go:build !linux

package capture

import (
	"sync"
	"time"
)

// watch returns a bell that rings. Without inotify nothing says when; it
// rings five times a second, and following costs a listing each time.
func watch(string) (*bell, error) {
	b := newBell()
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				b.ring(true)
			case <-quit:
				return
			}
		}
	})
	b.stop = func() {
		close(quit)
		wg.Wait()
	}
	return b, nil
}
