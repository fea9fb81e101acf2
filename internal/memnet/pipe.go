package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipe is one direction of a connection. Network.mu guards it.
type pipe struct {
	path, back     *path // that the bytes take, and their acknowledgements
	writer, reader *Node
	other          *pipe // the other direction
	changed        sync.Cond

	chunks       []chunk
	size         int       // bytes that were written and of which the writer does not know that they were read
	owed         int       // those of them that were read while nothing could come back
	last         time.Time // when the last bytes arrive: later ones do not overtake them
	breakIn      int       // bytes that pass before the connection breaks; -1 for never
	lost         bool      // nothing arrives any more, and nobody is told
	end          error     // what the reader gets after the last chunk
	endAt        time.Time // when that arrives
	broken       error     // what both get at once
	readerClosed time.Time // when the writer can know that the reader is closed; zero while it is open
	closed       bool      // the reader is
	writerClosed bool
	readBy       time.Time
	writeBy      time.Time
}

// chunk is what one write wrote, and when it arrives.
type chunk struct {
	at time.Time
	b  []byte
}

func newPipe(n *Network, from, to *Node) *pipe {
	p := &pipe{
		path: n.pathLocked(from.name, to.name), back: n.pathLocked(to.name, from.name),
		writer: from, reader: to, breakIn: -1,
	}
	p.changed.L = &n.mu
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.changed.L.Lock()
	defer p.changed.L.Unlock()
	for {
		switch {
		case p.closed:
			return 0, net.ErrClosed
		case p.reader.paused:
		case p.broken != nil:
			return 0, p.broken
		case past(p.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(p.chunks) > 0 && p.path.arrived(p.chunks[0].at):
			return p.takeLocked(b), nil
		case len(p.chunks) == 0 && p.end != nil && !p.lost && p.path.arrived(p.endAt):
			return 0, p.end
		}
		waitLocked(&p.changed, p.nextLocked())
	}
}

// nextLocked is when a reader has to look again, at the latest.
func (p *pipe) nextLocked() time.Time {
	next := p.readBy
	at := p.endAt
	if len(p.chunks) > 0 {
		at = p.chunks[0].at
	}
	if p.reader.paused || past(next) {
		return time.Time{}
	}
	if !at.IsZero() && !past(at) && (next.IsZero() || at.Before(next)) {
		next = at
	}
	return next
}

func (p *pipe) takeLocked(b []byte) int {
	n := copy(b, p.chunks[0].b)
	if p.chunks[0].b = p.chunks[0].b[n:]; len(p.chunks[0].b) == 0 {
		p.chunks = p.chunks[1:]
	}
	if p.back.held {
		p.owed += n
	} else {
		p.size -= n
		p.changed.Broadcast()
	}
	return n
}

func (p *pipe) write(b []byte) (int, error) {
	p.changed.L.Lock()
	defer p.changed.L.Unlock()
	written := 0
	for {
		next := p.writeBy
		switch {
		case p.writerClosed:
			return written, net.ErrClosed
		case p.writer.paused:
			next = time.Time{}
		case p.broken != nil:
			return written, p.broken
		case p.end == io.EOF:
			return written, net.ErrClosed
		case p.end != nil:
			return written, p.end
		case p.closed && !p.lost && p.back.arrived(p.readerClosed):
			return written, syscall.EPIPE
		case past(p.writeBy):
			return written, os.ErrDeadlineExceeded
		case len(b) == 0:
			return written, nil
		case p.size < p.path.link().Buffer:
			n := p.putLocked(b)
			written += n
			b = b[n:]
			continue
		case p.closed && !p.lost && !past(p.readerClosed) && (next.IsZero() || p.readerClosed.Before(next)):
			next = p.readerClosed
		}
		waitLocked(&p.changed, next)
	}
}

// putLocked takes what fits of b, or what may pass before the pipe breaks.
func (p *pipe) putLocked(b []byte) int {
	n := min(len(b), p.path.link().Buffer-p.size)
	var end error
	if p.breakIn >= 0 {
		if n = min(n, p.breakIn); n == p.breakIn {
			end = errReset
		}
		p.breakIn -= n
	}
	if at := p.path.breakIn; at >= 0 && at <= n {
		n, end, p.path.breakIn = at, p.path.breakHow, -1
	} else if at >= 0 {
		p.path.breakIn -= n
	}
	p.size += n
	if n > 0 && !p.lost && !p.closed {
		p.chunks = append(p.chunks, chunk{p.arrivalLocked(n), append([]byte(nil), b[:n]...)})
	}
	if end != nil {
		p.cutLocked(end)
	}
	p.changed.Broadcast()
	return n
}

// arrivalLocked is when n bytes arrive that are written now.
func (p *pipe) arrivalLocked(n int) time.Time {
	if at := p.path.arrival(n); at.After(p.last) {
		p.last = at
	}
	return p.last
}

// cutLocked ends the connection after what was written so far: with errReset
// for both, or with io.EOF, as if each had been told that the other has closed.
func (p *pipe) cutLocked(how error) {
	p.finishLocked(how)
	p.other.finishLocked(how)
}

// finishLocked ends the pipe after what was written so far.
func (p *pipe) finishLocked(err error) {
	if p.end == nil {
		p.end, p.endAt = err, p.arrivalLocked(0)
	}
	p.changed.Broadcast()
}

func (p *pipe) breakLocked(err error) {
	if p.broken == nil {
		p.broken = err
	}
	p.changed.Broadcast()
}

func (p *pipe) closeReaderLocked() {
	if !p.closed {
		p.closed = true
		p.readerClosed = p.back.arrival(0)
		p.chunks, p.size, p.owed = nil, 0, 0
	}
	p.changed.Broadcast()
}

// vanishLocked lets everything that is on its way or is written later
// disappear.
func (p *pipe) vanishLocked() {
	p.lost, p.chunks = true, nil
	p.changed.Broadcast()
}

// healedLocked is called when the path lets bytes through again: what waited
// sets out now.
func (p *pipe) healedLocked(since time.Time) {
	late := func(at time.Time) time.Time {
		if !at.After(since) {
			return at
		}
		if again := p.path.arrival(0); again.After(at) {
			at = again
		}
		if at.After(p.last) {
			p.last = at
		}
		return at
	}
	for i := range p.chunks {
		p.chunks[i].at = late(p.chunks[i].at)
		if i > 0 && p.chunks[i].at.Before(p.chunks[i-1].at) {
			p.chunks[i].at = p.chunks[i-1].at
		}
	}
	if !p.endAt.IsZero() {
		p.endAt = late(p.endAt)
	}
	p.changed.Broadcast()
}

// acksFlowLocked is called when acknowledgements come back again.
func (p *pipe) acksFlowLocked() {
	p.size -= p.owed
	p.owed = 0
	p.changed.Broadcast()
}
