package cmdproc_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/host/hosttest"
	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/native"
)

// TestRealContract runs the suite with commands that say when they are ready
// and are asked all the time whether they live.
func TestRealContract(t *testing.T) {
	ready := probe.Spec{Kind: probe.KindNotify}
	if runtime.GOOS != "linux" {
		ready = probe.Spec{Kind: probe.KindLog, Arg: "^serving$"}
	}
	alive := newQuestion()
	probes := cmdproc.Probes{
		Ready: cmdproc.Probe{Spec: ready},
		Live:  cmdproc.Probe{Check: alive, Config: probe.Config{Interval: 10 * time.Millisecond}},
	}
	hosttest.Run(t, hosttest.Harness{
		New: func(t *testing.T) host.Config {
			return newBench(t, func(c *cmdproc.Config) { c.Probes = func(host.ProcSpec) cmdproc.Probes { return probes } }).parts
		},
		Mute:      func(s host.ProcSpec) host.ProcSpec { return command(s.Name, "sleep", "3600") },
		Deaf:      func(s host.ProcSpec) host.ProcSpec { return acting(s.Name, "deaf") },
		Processes: true,
		Beside:    true,
	})
}

// bench is a host whose procs are commands.
type bench struct {
	*testing.T
	parts host.Config
	host  *host.Host
	mark  string
	said  *record
}

// newBench returns a bench that ends with t. The commands are copies of the
// test binary that serve, unless their spec says otherwise.
func newBench(t *testing.T, with func(*cmdproc.Config)) *bench {
	parts := hosttest.NewParts(t)
	launcher := native.New(native.Config{})
	t.Cleanup(func() {
		if err := launcher.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{T: t, mark: rand.Text(), said: newRecord(), parts: parts.Config}
	cfg := cmdproc.Config{
		Host: parts.Name, Service: parts.Service, Gateway: parts.Gateway, Launcher: launcher, Mark: b.mark, Types: hosttest.Types(),
		// The race detector has programs sleep when they exit.
		Env:       append(os.Environ(), "GORACE=atexit_sleep_ms=0", variable+"=serve"),
		KillBound: 100 * time.Millisecond,
		Output:    b.said.line,
	}
	if with != nil {
		with(&cfg)
	}
	b.parts.Manager = cmdproc.New(cfg)
	t.Cleanup(func() {
		if err := b.parts.Manager.Close(context.Background()); err != nil {
			t.Error(err)
		}
		b.empty()
	})
	b.host = host.New(b.parts)
	return b
}

// probed returns what gives all commands of a bench these probes.
func probed(p cmdproc.Probes) func(*cmdproc.Config) {
	return func(c *cmdproc.Config) { c.Probes = func(host.ProcSpec) cmdproc.Probes { return p } }
}

// asks returns the probe that people write like that.
func asks(t *testing.T, text string) cmdproc.Probe {
	t.Helper()
	s, err := probe.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return cmdproc.Probe{Spec: s, Config: probe.Config{Interval: 10 * time.Millisecond, Timeout: patience}}
}

// command is the spec of any command.
func command(name, program string, args ...string) host.ProcSpec {
	return host.ProcSpec{Name: name, Program: program, Args: args}
}

// acting is the spec of a copy of the test binary that does something; see act.
func acting(name string, words ...string) host.ProcSpec {
	return host.ProcSpec{Name: name, Env: []string{variable + "=" + strings.Join(words, " ")}}
}

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// ctx returns a ctx whose calls come from the local proc.
func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.parts.Local.Context(host.As(b.Context(), "test")), patience)
	b.Cleanup(cancel)
	return ctx
}

// start spawns a proc that need not be ready.
func (b *bench) start(s host.ProcSpec) host.ProcHandle {
	b.Helper()
	h, err := b.parts.Manager.Spawn(b.ctx(), s)
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// spawn spawns a proc and waits until it is ready.
func (b *bench) spawn(s host.ProcSpec) host.ProcHandle {
	b.Helper()
	h, err := b.host.Spawn(b.ctx(), s)
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// failed spawns a proc, which must fail, and whose name must be free then.
func (b *bench) failed(s host.ProcSpec) *host.SpawnError {
	b.Helper()
	h, err := b.host.Spawn(b.ctx(), s)
	failed, ok := errors.AsType[*host.SpawnError](err)
	if !ok {
		b.Fatalf("Spawn(%+v) = %v, %v", s, h, err)
	}
	if left := b.host.Procs(); len(left) > 0 {
		b.Errorf("procs are left: %v", left)
	}
	b.empty()
	return failed
}

// wait waits for the end of the proc.
func (b *bench) wait(h host.ProcHandle) host.Exit {
	b.Helper()
	e, err := h.Wait(b.ctx())
	if err != nil {
		b.Fatalf("%v; %v", err, h.Status())
	}
	return e
}

// until waits for a status that is as wanted.
func (b *bench) until(h host.ProcHandle, is func(host.Status) bool) host.Status {
	b.Helper()
	for s := range h.Watch(b.ctx()) {
		if is(s) {
			return s
		}
	}
	b.Fatalf("that never came: %v", h.Status())
	return host.Status{}
}

// empty checks that nothing is left of any proc, where that can be known.
func (b *bench) empty() {
	b.Helper()
	for what, list := range map[string]func() ([]int, error){
		"processes": func() ([]int, error) { return launch.Census(host.Marker(b.mark)) },
		"children":  launch.Children,
	} {
		if left, err := list(); len(left) > 0 || err != nil && !errors.Is(err, errors.ErrUnsupported) {
			b.Errorf("%s are left: %v, %v", what, left, err)
		}
	}
}

// gate makes a FIFO; who reads it waits until the returned function is called,
// or the end of the test.
func (b *bench) gate() (path string, open func()) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "gate")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		b.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { w.Close() })
	return path, func() { w.WriteString("open\n") }
}

// contains checks that text has all of the parts.
func (b *bench) contains(text string, parts ...string) {
	b.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			b.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

// record is what commands have written.
type record struct {
	mu    sync.Mutex // guards the following
	lines map[string][]string
	news  chan struct{} // closed when there is another line
}

func newRecord() *record { return &record{lines: map[string][]string{}, news: make(chan struct{})} }

func (r *record) line(p id.Proc, s launch.Stream, line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := p.Name
	if s == launch.Stderr {
		key += " stderr"
	}
	r.lines[key] = append(r.lines[key], string(line))
	close(r.news)
	r.news = make(chan struct{})
}

// of returns what a proc has written to stdout, or for "NAME stderr" to that.
func (r *record) of(key string) string {
	lines, _ := r.look(key)
	return strings.Join(lines, "\n")
}

func (r *record) look(key string) (lines []string, news chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines[key]), r.news
}

// await returns the first line, once it is there.
func (r *record) await(t *testing.T, key string) string {
	t.Helper()
	late := time.After(patience)
	for {
		lines, news := r.look(key)
		if len(lines) > 0 {
			return lines[0]
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("%s has written nothing", key)
		}
	}
}

// question is a probe.Check that a test answers.
type question struct {
	asked chan struct{} // takes a token for each time, if somebody waits for it

	mu     sync.Mutex // guards the following
	answer error
	left   int           // how often it is still to be given before
	given  chan struct{} // is closed
}

func newQuestion() *question { return &question{asked: make(chan struct{})} }

func (q *question) Check(context.Context) error {
	select {
	case q.asked <- struct{}{}:
	default:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left--; q.left == 0 {
		close(q.given)
	}
	return q.answer
}

func (q *question) String() string { return "question" }

func (q *question) set(answer error) { q.setFor(answer, 1) }

// setFor returns what is closed when the answer has been given n times.
func (q *question) setFor(answer error, n int) (given <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answer, q.left, q.given = answer, n, make(chan struct{})
	return q.given
}
