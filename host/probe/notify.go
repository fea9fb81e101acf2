package probe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Notify is a probe that is told: it listens on a socket to which a process
// that knows sd_notify(3) writes. It understands READY=1, STATUS=, STOPPING=1,
// WATCHDOG=1, WATCHDOG=trigger, EXTEND_TIMEOUT_USEC= and BARRIER=1. The rest is
// ignored, MAINPID= and WATCHDOG_USEC= among it, and descriptors that come with
// it are closed. It is for one process and exists on linux only. Its methods may
// be called concurrently.
type Notify struct {
	cfg    NotifyConfig
	socket *notifySocket
	reader sync.WaitGroup // the goroutine that reads

	ready  chan struct{} // closed by READY=1
	broken chan struct{} // closed by WATCHDOG=trigger
	done   chan struct{} // closed when nothing more is read

	mu      sync.Mutex // guards the following
	notices Notices
}

// NotifyConfig configures a Notify. The zero value works.
type NotifyConfig struct {
	// Path is where the socket is made; at most 107 bytes. It must not exist,
	// and everybody who may search its directory may write to it. If empty, the
	// socket has an abstract name, which no file remains of, and which a process
	// in another network namespace cannot reach.
	Path string

	// Member reports whether a process belongs to the proc: messages of others
	// are refused. If nil, none are. One goroutine calls it, and messages wait
	// meanwhile, so it may wait until it is known which process was started; but
	// Close waits for it. What writes and ends at once may be gone by then,
	// unless it waits for its barrier as systemd-notify does.
	Member func(pid int) bool

	// Watchdog is how often WATCHDOG=1 has to come from AwaitFailure on; 0: it
	// need not. The process is told, and by custom sends it twice as often.
	Watchdog time.Duration

	// Suspended is that of Config.
	Suspended func() bool

	// OnNotice is called by one goroutine after each message that was taken. It
	// must not block.
	OnNotice func(Notices)
}

// Notices is what a process has said so far.
type Notices struct {
	Ready    bool
	Stopping bool
	Status   string    // in one line of valid UTF-8
	Alive    time.Time // when WATCHDOG=1 came last; zero: never
	Patience time.Time // until when it asked for more time, at most MaxPatience ahead; zero: never
	Refused  int       // messages that were not taken: from others, or longer than MaxMessage

	triggered bool // WATCHDOG=trigger came
}

// The bounds of what a process can say to a Notify.
const (
	MaxMessage  = 4096      // bytes of one message
	MaxPatience = time.Hour // that EXTEND_TIMEOUT_USEC can ask for at once
)

func newNotify(cfg NotifyConfig, socket *notifySocket) *Notify {
	if cfg.Member == nil {
		cfg.Member = func(int) bool { return true }
	}
	if cfg.Suspended == nil {
		cfg.Suspended = func() bool { return false }
	}
	if cfg.OnNotice == nil {
		cfg.OnNotice = func(Notices) {}
	}
	return &Notify{
		cfg: cfg, socket: socket,
		ready: make(chan struct{}), broken: make(chan struct{}), done: make(chan struct{}),
	}
}

// Env returns what has to be in the environment of the process: where the
// socket is and, if there is one, the interval of the watchdog.
func (n *Notify) Env() []string {
	env := []string{"NOTIFY_SOCKET=" + n.socket.name}
	if n.cfg.Watchdog > 0 {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(n.cfg.Watchdog.Microseconds(), 10))
	}
	return env
}

// Notices returns what the process has said so far.
func (n *Notify) Notices() Notices {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.notices
}

// AwaitReady returns nil once the process has said READY=1, or a
// *NotReadyError when ctx is over or the Notify is closed. What was said before
// the end of ctx counts, also if the process has ended since.
func (n *Notify) AwaitReady(ctx context.Context) error {
	select {
	case <-n.ready:
		return nil
	default:
	}
	var err error
	select {
	case <-n.ready:
		return nil
	case <-n.done:
		err = errClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
		n.socket.catchUp()
	}
	last := n.Notices()
	if last.Ready {
		return nil
	}
	return &NotReadyError{Probe: n.String(), Last: last.missing(), Err: err}
}

// missing says why there is no READY=1.
func (n Notices) missing() error {
	text := "no READY=1"
	if n.Status != "" {
		text += fmt.Sprintf(", status %q", n.Status)
	}
	if n.Refused > 0 {
		text += ", " + times(n.Refused, "message", "messages") + " refused: not from its processes, or too long"
	}
	return errors.New(text)
}

func (n *Notify) String() string { return Spec{Kind: KindNotify}.String() }

// AwaitFailure returns a *FailedError once WATCHDOG=1 has not come for the
// time of a Watchdog, counted from this call on, or WATCHDOG=trigger has. It
// returns the cause of ctx when that is over, and an error if the Notify is
// closed. Without a Watchdog only the trigger is a failure.
func (n *Notify) AwaitFailure(ctx context.Context) error {
	dog := watchdog{interval: n.cfg.Watchdog, from: time.Now()}
	for {
		err := n.sleepUntil(ctx, dog.due())
		if err != nil {
			return err
		}
		if dog.bites(time.Now(), n.Notices().Alive, n.cfg.Suspended) {
			return n.failed(fmt.Errorf("no WATCHDOG=1 for %v", dog.interval))
		}
	}
}

// sleepUntil returns nil at t, or sooner why there is nothing more to wait
// for. A zero t never comes.
func (n *Notify) sleepUntil(ctx context.Context, t time.Time) error {
	var due <-chan time.Time
	if !t.IsZero() {
		timer := time.NewTimer(time.Until(t))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return nil
	case <-n.broken:
		return n.failed(errors.New("it said WATCHDOG=trigger"))
	case <-n.done:
		return fmt.Errorf("%v: %w", n, errClosed)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *Notify) failed(last error) error {
	return &FailedError{Probe: n.String(), Misses: 1, Last: last}
}

// take takes in a message of a process; 0 is one that nobody can name. Only
// the reader calls it.
func (n *Notify) take(now time.Time, pid int, text []byte, whole bool) {
	if !whole || pid <= 0 || !n.cfg.Member(pid) {
		n.mu.Lock()
		n.notices.Refused++
		n.mu.Unlock()
		return
	}
	m := parseMessage(text)
	n.mu.Lock()
	before := n.notices
	n.notices.add(now, m)
	after := n.notices
	n.mu.Unlock()
	if after.Ready && !before.Ready {
		close(n.ready)
	}
	if after.triggered && !before.triggered {
		close(n.broken)
	}
	n.cfg.OnNotice(after)
}

func (n *Notices) add(now time.Time, m message) {
	n.Ready = n.Ready || m.ready
	n.Stopping = n.Stopping || m.stopping
	n.triggered = n.triggered || m.trigger
	if m.hasStatus {
		n.Status = m.status
	}
	if m.alive {
		n.Alive = now
	}
	if m.patience > 0 {
		n.Patience = now.Add(m.patience)
	}
}

// watchdog decides whether WATCHDOG=1 is overdue. It is pure. Like a Check that
// is not answered, its absence does not count if we look too late to know, or
// while the process is suspended: then it has its whole interval again.
type watchdog struct {
	interval time.Duration // 0: it never is
	from     time.Time     // since when it is waited for
}

// due returns when to look; zero: never.
func (w *watchdog) due() time.Time {
	if w.interval <= 0 {
		return time.Time{}
	}
	return w.from.Add(w.interval)
}

// bites looks: at now, which is due or later, with the last sign of life at alive.
func (w *watchdog) bites(now, alive time.Time, suspended func() bool) bool {
	switch late := now.Sub(w.due()) > w.interval/2; {
	case alive.Add(w.interval).After(now):
		w.from = alive
	case late || suspended():
		w.from = now
	default:
		return true
	}
	return false
}
