package actor

import "sync"

// workers are the goroutines that run actors. An actor has one while it has
// something to do; then the worker waits for the next actor, so that neither a
// goroutine nor its stack has to be made for each message. At most maxIdle
// wait; the others end.
type workers struct {
	mu     sync.Mutex // guards the following
	idle   []*worker  // the last one to come is the first to go: its stack is warm
	closed bool
}

type worker struct {
	next  chan *cell // holds one; closed when there will be none
	batch batch
}

const maxIdle = 64

// run has some worker run c until nothing waits for it. Proc.Done waits for
// the actors, and with the last one the workers end.
func (p *Proc) run(c *cell) {
	if w := p.workers.get(); w != nil {
		w.next <- c // never blocks: it is idle
		return
	}
	w := &worker{next: make(chan *cell, 1)}
	go w.work(&p.workers, c)
}

func (w *worker) work(all *workers, c *cell) {
	for ok := true; ok; {
		c.run(&w.batch)
		clear(w.batch.user[:]) // keeps no message alive
		if !all.put(w) {
			return
		}
		c, ok = <-w.next
	}
}

func (ws *workers) get() *worker {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	n := len(ws.idle)
	if n == 0 {
		return nil
	}
	w := ws.idle[n-1]
	ws.idle[n-1] = nil
	ws.idle = ws.idle[:n-1]
	return w
}

// put reports whether w may wait for another actor.
func (ws *workers) put(w *worker) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed || len(ws.idle) == maxIdle {
		return false
	}
	ws.idle = append(ws.idle, w)
	return true
}

// close ends those that wait, and the others when they have finished.
func (ws *workers) close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.closed = true
	for _, w := range ws.idle {
		close(w.next)
	}
	ws.idle = nil
}
