package osproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/internal/handshake"
)

// ChildConfig says how a child process works as a proc.
type ChildConfig struct {
	Types []actor.AnyType // what can be spawned in it
	Log   *slog.Logger    // nothing is logged if nil

	// OnFailure is told of failures that no actor handled; see actor.Config.
	// Nil: the report is logged, and the proc ends with an error.
	OnFailure func(*actor.Failure)

	// Prepare, if not nil, is called beside the handshake and has returned before
	// the host hears that the proc is there: what a proc needs to be stopped
	// properly, such as its signals, belongs here.
	Prepare func()

	// Transports, if not nil, returns transports of the proc p beside those of the
	// system, in which it shows that it is p. ask has the host certify a public
	// key as that of p, with Config.Issue, and returns what that did (MS-15).
	Transports func(p id.Proc, ask func(ctx context.Context, public []byte) ([]byte, error)) channel.Transports

	// Drain is how long the actors may take to end when ctx does or the host
	// is gone; 10 s if zero.
	Drain time.Duration
}

const (
	bootBound  = 30 * time.Second // for the host's first message
	flushBound = 2 * time.Second  // for the last messages to get out
	endBound   = 10 * time.Second
)

// IsChild reports whether this process was started as a proc and has not
// called Child yet.
func IsChild() bool {
	_, ok := os.LookupEnv(controlEnv)
	return ok
}

// Child makes this process the proc that it was started as, and returns when
// the proc has ended: its agent was asked to drain it, an actor failed and
// nobody handled it, ctx ended, or the host is gone. It is called once, before
// anything else that could start a child process. The error says why the proc
// did not run, or the failure that ended it.
func Child(ctx context.Context, cfg ChildConfig) error {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Drain = cmp.Or(cfg.Drain, endBound)
	control, err := inheritedControl()
	if err != nil {
		return err
	}
	defer control.Close()
	var preparing sync.WaitGroup
	defer preparing.Wait()
	if cfg.Prepare != nil {
		preparing.Go(cfg.Prepare)
	}
	var b handshake.Boot
	control.SetReadDeadline(time.Now().Add(bootBound))
	if err := handshake.Read(control, &b); err != nil {
		return fmt.Errorf("handshake with the host: %w", err)
	}
	control.SetReadDeadline(time.Time{})
	if b.Version != handshake.Version {
		err := fmt.Errorf("%w: the host speaks %d, the proc %d", ErrVersion, b.Version, handshake.Version)
		return errors.Join(err, handshake.Write(control, failed(err)))
	}
	return serve(ctx, cfg, control, b, preparing.Wait)
}

// maxFailure bounds the text of a note, so that a long panic fits a message.
const maxFailure = 32 << 10

// failed is the note of a proc that ends because of err.
func failed(err error) *handshake.Note {
	text := err.Error()
	return &handshake.Note{Version: handshake.Version, Failure: strings.ToValidUTF8(text[:min(len(text), maxFailure)], "?")}
}

// inheritedControl takes the control descriptor, and sees that no child of ours
// inherits it in turn.
func inheritedControl() (*os.File, error) {
	v := os.Getenv(controlEnv)
	if err := os.Unsetenv(controlEnv); err != nil {
		return nil, fmt.Errorf("handshake with the host: %w", err)
	}
	fd, err := strconv.Atoi(v)
	if err != nil {
		return nil, fmt.Errorf("handshake with the host: %s=%q is not a descriptor", controlEnv, v)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("handshake with the host: descriptor %d: %w", fd, err)
	}
	return os.NewFile(uintptr(fd), "control"), nil
}

// serve runs the proc to its end. It is there once prepared has returned.
func serve(ctx context.Context, cfg ChildConfig, control *os.File, b handshake.Boot, prepared func()) (err error) {
	asks := newAsks(control, b.Grants)
	gw := gateway.New(gateway.Config{
		Self: b.Proc, Epoch: b.Proc.UID, Token: b.Token, Limits: b.Limits, Causes: host.Causes{}, Log: cfg.Log,
		Transports: transports(cfg, b.Proc, asks),
	})
	defer func() {
		flush, cancel := context.WithTimeout(context.Background(), flushBound)
		defer cancel()
		gw.Close(flush)
	}()
	p, addr, err := open(ctx, cfg, gw, b)
	if err != nil {
		return errors.Join(err, handshake.Write(control, failed(err)))
	}
	ready := handshake.Note{Version: handshake.Version, Once: b.Once, Addr: addr}
	if crash := catchCrash(); crash != nil {
		defer crash.Close()
		ready.Crash = int(crash.Fd())
	}
	prepared()
	if err := handshake.Write(control, &ready); err != nil {
		return errors.Join(fmt.Errorf("handshake with the host: %w", err), p.Stop(context.Background(), 0))
	}
	follow(ctx, cfg, control, p, asks)
	if err := p.Err(); err != nil {
		handshake.Write(control, failed(err)) // the host may be gone: then nobody wants it
		return err
	}
	return nil
}

// transports returns those of the system and the child's own.
func transports(cfg ChildConfig, p id.Proc, asks *asks) channel.Transports {
	all := channel.System(channel.SystemConfig{})
	if cfg.Transports != nil {
		maps.Copy(all, cfg.Transports(p, asks.ask))
	}
	return all
}

// open returns the proc, whose agent works, and where it is reached.
func open(ctx context.Context, cfg ChildConfig, gw *gateway.Gateway, b handshake.Boot) (*actor.Proc, channel.Addr, error) {
	addr, err := gw.Listen(ctx, b.Listen)
	if err != nil {
		return nil, "", err
	}
	gw.Uplink(b.Host, b.Back)
	p, err := actor.NewProc(actor.Config{ID: b.Proc, Types: cfg.Types, Gateway: gw, OnFailure: cfg.OnFailure, Log: cfg.Log})
	if err != nil {
		return nil, "", err
	}
	if _, err := actor.Ping.Call(p.Context(context.WithoutCancel(ctx)), actor.AgentOf(b.Proc), actor.None{}); err != nil {
		return nil, "", errors.Join(fmt.Errorf("ask the agent: %w", err), p.Stop(context.Background(), 0))
	}
	return p, addr, nil
}

// follow returns when the proc has ended, and sees to that when ctx ends or
// the lifeline is cut (PS-2).
func follow(ctx context.Context, cfg ChildConfig, control *os.File, p *actor.Proc, asks *asks) {
	var lifeline sync.WaitGroup
	cut := make(chan struct{})
	lifeline.Go(func() {
		defer close(cut)
		asks.read()
	})
	select {
	case <-p.Done():
	case <-ctx.Done():
		stop(p, cfg.Drain)
	case <-cut:
		p.Drain(context.Background(), cfg.Drain)
	}
	control.SetReadDeadline(time.Now())
	lifeline.Wait()
}

// stop is the answer to a SIGTERM. To a proc that drains already it says that
// the time for that is over (PH-5): handlers are cancelled.
func stop(p *actor.Proc, budget time.Duration) {
	end := p.Drain
	if p.Status().Draining {
		end = p.Stop
	}
	end(context.Background(), budget)
}
