package keeper

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/output"
	"github.com/hyperactor/hyperactor/launch/internal/roll"
)

// Launcher starts processes through a keeper. It implements launch.Launcher.
type Launcher struct {
	cfg      Config
	roll     *roll.Roll[*process]
	sessions sync.WaitGroup // one per keeper that was started

	mu      sync.Mutex // guards the following
	current *opening   // the newest keeper, or nil
}

// opening is a keeper that is being started, or was.
type opening struct {
	done    chan struct{} // closed when the following are set
	session *session
	err     error
}

// New returns a launcher. It costs nothing until the first Launch, which starts
// the keeper.
func New(cfg Config) *Launcher {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.exe = cmp.Or(cfg.exe, selfExe)
	cfg.patience = cmp.Or(cfg.patience, 10*time.Second)
	return &Launcher{cfg: cfg, roll: roll.New[*process]()}
}

// Launch starts a process; see launch.Launcher. A program that is being
// written (ETXTBSY) is tried again for a second.
func (l *Launcher) Launch(ctx context.Context, spec launch.Spec) (launch.Process, error) {
	p, err := l.roll.Launch(ctx, spec, l.start)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the launcher, its keeper and whatever descends from it; see
// launch.Launcher. A second caller waits, too.
func (l *Launcher) Close() error {
	err := l.roll.Close()
	l.mu.Lock()
	o := l.current
	l.mu.Unlock()
	if o != nil {
		<-o.done
		if o.session != nil {
			o.session.end()
		}
	}
	l.sessions.Wait()
	return err
}

// keeper returns the session with a living keeper, which it starts if there is
// none.
func (l *Launcher) keeper(ctx context.Context) (*session, error) {
	l.mu.Lock()
	o := l.current
	if o == nil || o.over() {
		o = &opening{done: make(chan struct{})}
		l.current = o
		l.sessions.Go(func() { l.open(o) })
	}
	l.mu.Unlock()
	select {
	case <-o.done:
		return o.session, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// open starts a keeper and follows it to its end.
func (l *Launcher) open(o *opening) {
	o.session, o.err = openSession(l.cfg)
	close(o.done)
	if o.err == nil {
		o.session.run()
	}
}

// over reports whether there has to be another keeper.
func (o *opening) over() bool {
	select {
	case <-o.done:
	default:
		return false
	}
	return o.err != nil || o.session.over()
}

// start starts a process, with a second keeper if the first one just ends.
func (l *Launcher) start(ctx context.Context, spec launch.Spec, prog launch.Program) (*process, error) {
	for {
		p, err := l.startOnce(ctx, spec, prog)
		if !errors.Is(err, errLeaving) || ctx.Err() != nil {
			return p, err
		}
	}
}

func (l *Launcher) startOnce(ctx context.Context, spec launch.Spec, prog launch.Program) (*process, error) {
	s, err := l.keeper(ctx)
	if err != nil {
		if e := launch.Explain(spec, prog.Path, err); e.Reason == launch.ErrLimit {
			return nil, e
		}
		return nil, &launch.StartError{Op: "start keeper for", Path: spec.Path, Err: err}
	}
	out, err := output.Open(spec)
	if err != nil {
		e := launch.Explain(spec, prog.Path, err)
		e.Op = "pipe"
		return nil, e
	}
	p := &process{session: s, out: out, drain: spec.DrainBound, done: make(chan struct{})}
	err = p.start(ctx, l.roll, spec, prog)
	out.CloseWriters()
	if errors.Is(err, errAbandoned) { // somebody else cares for the pipes
		return nil, &launch.StartError{Op: "start", Path: spec.Path, Err: context.Cause(ctx)}
	}
	if err != nil {
		out.Close()
		return nil, launch.Explain(spec, prog.Path, err)
	}
	out.Read()
	return p, nil
}

// newMark returns what tells the descendants of one process. outer is the mark
// that we have inherited ourselves: whoever looks for our descendants has to
// find theirs, too.
func newMark(outer string) string {
	if outer == "" {
		return rand.Text()
	}
	return fmt.Sprintf("%s.%s", outer, rand.Text())
}
