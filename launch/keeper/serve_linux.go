package keeper

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

// goodbye is how long the host may take for the last reports.
const goodbye = time.Second

// lull is how long an orphan that has ended may wait to be reaped. The kernel
// says of each child that it has ended, also of those that are followed by their
// pidfd: when many end together, the keeper listens to the first.
const lull = 10 * time.Millisecond

// rest is how long after a start or an end the keeper gives back what they have
// needed: at once with what comes of others that follow.
const rest = 2 * time.Second

// keeper is the keeper's own side: it does what the host asks for, and looks
// after what has come of it.
type keeper struct {
	conn     *conn
	lifeline *os.File // ends with the guard
	starter  *tree.Starter
	orphans  *tree.Orphans
	deaths   *deaths
	records  *journal
	wards    sync.WaitGroup // one per living process
	young    sync.WaitGroup // one per process that the host has not been told of
	tired    atomic.Bool    // rest is set
	rest     *time.Timer    // goes off when it is time to shed
	image    image

	mu     sync.Mutex // guards the following
	living map[uint64]*ward
}

// run serves until host or guard is gone, and returns when nothing descends
// from this process any more. The main goroutine calls it.
func (k *keeper) run() (err error) {
	var life sync.WaitGroup
	life.Go(func() {
		err = k.serve()
		k.orphans.Release()
	})
	k.orphans.Hold()
	life.Wait()
	return err
}

func (k *keeper) serve() error {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	var listening sync.WaitGroup
	listening.Go(k.watchGuard)
	over := make(chan error, 1)
	listening.Go(func() {
		runtime.LockOSThread() // which the main goroutine has seen to is not the first one
		over <- k.listen()
		k.wards.Wait() // they end with this thread
	})
	listening.Go(k.watchWards)
	defer k.rest.Stop()
	var rested <-chan time.Time
	for {
		select {
		case <-children:
			signal.Stop(children)
			rested = time.After(lull)
			k.orphans.Reap()
		case <-rested:
			signal.Notify(children, syscall.SIGCHLD)
			k.orphans.Reap() // those that nobody told us of
		case <-k.rest.C:
			k.tired.Store(false)
			k.image.shed()
		case err := <-over:
			_ = k.conn.file.SetWriteDeadline(time.Now().Add(goodbye)) // the host may be stopped, or gone
			k.killAll()
			k.young.Wait() // so that bye is about what was not read
			_ = k.conn.send(event{Bye: &bye{}})
			signal.Notify(children, syscall.SIGCHLD)
			k.bury(children)
			err = errors.Join(err, k.lifeline.Close(), k.deaths.close())
			listening.Wait()
			return errors.Join(err, k.close())
		}
	}
}

func (k *keeper) close() error {
	if k.starter != nil {
		k.starter.Stop()
	}
	return errors.Join(k.records.close(), k.conn.close())
}

// watchGuard ends the listening when the guard has ended: then nobody would be
// there to sweep after the keeper.
func (k *keeper) watchGuard() {
	_, _ = io.Copy(io.Discard, k.lifeline)
	_ = k.conn.file.SetReadDeadline(time.Now())
	_ = k.conn.file.SetWriteDeadline(time.Now().Add(goodbye)) // an answer to a host that is stopped
}

// watchWards has the end of each process followed up.
func (k *keeper) watchWards() {
	for {
		ids, err := k.deaths.wait(nil)
		if err != nil {
			return // closed, when nothing is left
		}
		k.finish(k.find(ids))
	}
}

// bury kills all that descends from this process, after killAll, and returns when
// nothing is left. What has a record of its own still gets it.
func (k *keeper) bury(children <-chan os.Signal) {
	ended := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		k.wards.Wait()
		close(ended)
	})
	defer waiting.Wait()
	for over := false; ; {
		if left := k.orphans.Reap(); over && !left {
			return
		}
		tree.KillDescendants()
		select {
		case <-children:
		case <-ended:
			over, ended = true, nil
		}
	}
}

// killAll kills the trees that we know of, at once where they have a cgroup.
func (k *keeper) killAll() {
	k.mu.Lock()
	all := slices.Collect(maps.Values(k.living))
	k.mu.Unlock()
	for _, w := range all {
		w.signal([]int{int(unix.SIGKILL)})
	}
}

// listen does what the host asks for. It returns nil when host or guard is gone.
func (k *keeper) listen() error {
	if err := k.shakeHands(); err != nil {
		return err
	}
	for {
		f, got, err := k.conn.receive()
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := decode[request](f)
		if err != nil {
			got.close()
			return err
		}
		switch {
		case r.Start != nil:
			k.start(r.ID, r.Start, got)
		case r.Signal != nil:
			k.signal(r.ID, r.Signal)
		default:
			return fmt.Errorf("%w: a second hello", errProtocol)
		}
	}
}

func (k *keeper) shakeHands() error {
	f, _, err := k.conn.receive()
	if err != nil {
		return fmt.Errorf("handshake with the host: %w", err)
	}
	r, err := decode[request](f)
	if err != nil || r.Hello == nil {
		return fmt.Errorf("handshake with the host: %w", cmp.Or(err, errProtocol))
	}
	if r.Hello.Version == version {
		k.starter = &tree.Starter{WithoutGroupSignal: r.Hello.WithoutGroupSignal, Cgroups: !r.Hello.WithoutCgroups, Here: true}
		k.records, err = openJournal(r.Hello.Records)
	} else {
		err = fmt.Errorf("the host speaks version %d, the keeper %d", r.Hello.Version, version)
	}
	answer := &hello{Version: version}
	if err != nil {
		answer.Problem = err.Error()
	}
	return errors.Join(err, k.conn.send(event{Hello: answer}))
}

// start starts a process. An error is for the host to explain.
func (k *keeper) start(id uint64, s *start, got batch) {
	k.records.forget(s.Seen)
	k.tire()
	w, err := k.open(id, s, got)
	switch {
	case err != nil:
		_ = k.conn.send(event{ID: id, Failed: refusal(err)}) // no host, no answer
	case w.lead.Running():
		k.adopt(w)
		k.introduce(w)
	default:
		k.adopt(w)
		go k.introduce(w) // young waits for it, and wards
	}
	k.starter.Prepare()
}

// adopt makes a process one that we look after.
func (k *keeper) adopt(w *ward) {
	k.mu.Lock()
	k.living[w.id] = w
	k.mu.Unlock()
	k.wards.Add(1)
	k.young.Add(1)
}

// introduce tells the host of a process that has come to its program, and has it
// followed. If it does not come there, or the host cannot be given the pidfd,
// nothing is left of the process when the host is told so, or as soon as the
// kernel lets it go.
func (k *keeper) introduce(w *ward) {
	err := w.lead.AwaitExec()
	w.started = time.Now()
	if err == nil {
		err = k.announce(w)
	}
	if err == nil {
		k.young.Done()
		if k.deaths.add(w.lead, w.id) != nil { // the kernel watches no more: a goroutine does
			go w.finish()
		}
		return
	}
	stuck := errors.Is(err, tree.ErrStuck)
	if !stuck {
		w.abort()
	}
	_ = k.conn.send(event{ID: w.id, Failed: refusal(err)})
	k.young.Done()
	if stuck {
		w.abort()
	}
	k.mu.Lock()
	delete(k.living, w.id)
	k.mu.Unlock()
	k.wards.Done()
}

// tire has the keeper rest.
func (k *keeper) tire() {
	if !k.tired.Swap(true) {
		k.rest.Reset(rest)
	}
}

func (k *keeper) open(id uint64, s *start, got batch) (*ward, error) {
	if got.cut {
		return nil, unix.EMFILE
	}
	files := got.files()
	r := tree.Request{
		Prog: s.program(), Env: s.Env, Dir: s.Dir, Limits: s.Limits,
		Stdout: files[0], Stderr: files[1],
	}
	if len(files) > 2 {
		r.Control = files[2]
	}
	lead, err := k.starter.Start(r)
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		return nil, err
	}
	return &ward{keeper: k, id: id, mark: s.Mark, lead: lead}, nil
}

// announce tells the host of a started process.
func (k *keeper) announce(w *ward) error {
	return k.tell(event{ID: w.id, Started: &started{PID: w.lead.PID, At: w.started.UnixNano(), Group: w.lead.SignalsGroup()}}, w.lead)
}

// tell sends an event with the pidfd of a process.
func (k *keeper) tell(e event, lead *tree.Leader) error {
	return k.conn.send(e, lead.Pidfd())
}

// signal signals the group of a living process, for a host whose kernel cannot.
func (k *keeper) signal(id uint64, s *signals) {
	k.mu.Lock()
	w := k.living[id]
	k.mu.Unlock()
	if w != nil {
		w.signal(s.Numbers)
	}
}
