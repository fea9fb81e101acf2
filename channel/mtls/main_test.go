package mtls_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/channel/mtls"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
)

// hostVariable says which host a copy of the test binary is: its name, the
// directory of its certificates, and where it listens.
const hostVariable = "MTLS_TEST_HOST"

// TestMain lets the test binary be a host, and a proc.
func TestMain(m *testing.M) {
	hyperactor.RunChild(hyperactor.Config{Types: visitorTypes(), Identity: mtls.Procs{}.At(clock)})
	if words := strings.Fields(os.Getenv(hostVariable)); len(words) == 3 {
		if err := beHost(words[0], words[1], channel.Addr(words[2])); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// ahead is how much further than the machine's a proc's clock is.
var ahead atomic.Int64

func clock() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }

// token is what programs show that have no certificate.
const token = "shared"

// hostConfig is that of a host whose certificates are in dir.
func hostConfig(name, dir string) (hyperactor.Config, error) {
	tls, err := mtls.New(mtls.Config{Files: authority.HostFiles(dir)})
	return hyperactor.Config{
		Host: name, Token: token, Types: visitorTypes(), NoLogs: true, Keeper: hyperactor.NoKeeper,
		Transports: channel.Transports{"tls": tls},
		Identity:   mtls.Procs{Issuer: authority.IssuerFiles(dir).Issuer},
		Env:        append(os.Environ(), "GORACE=atexit_sleep_ms=0"),
	}, err
}

// beHost is the main function of a host. It answers what it is asked on stdin,
// one line each, and ends when that does.
func beHost(name, dir string, front channel.Addr) error {
	os.Unsetenv(hostVariable)
	cfg, err := hostConfig(name, dir)
	if err != nil {
		return err
	}
	cfg.Front, cfg.Log = front, slog.New(slog.NewTextHandler(os.Stderr, nil))
	rt, err := hyperactor.Start(context.Background(), cfg)
	if err != nil {
		return err
	}
	fmt.Println(rt.Host().Addr(), rt.Proc().ID())
	ctx := rt.Context(context.Background())
	for in := bufio.NewScanner(os.Stdin); err == nil && in.Scan(); {
		var answer string
		answer, err = hostAnswers(ctx, rt, in.Text())
		fmt.Println(answer)
	}
	gw, _ := actor.GatewayOf(ctx)
	if closed := rt.Close(); err == nil {
		err = closed
	}
	fmt.Println(gw.Stats().Refused) // nobody is at the door any more
	return err
}

func hostAnswers(ctx context.Context, rt *hyperactor.Runtime, question string) (string, error) {
	switch question {
	case "spawn":
		h, err := rt.Host().Spawn(ctx, host.ProcSpec{Name: "worker"})
		if err != nil {
			return "", err
		}
		return h.ID().String(), nil
	case "plain": // also without TLS
		addr, err := hyperactor.Listen(ctx, "tcp:127.0.0.1:0")
		return string(addr), err
	case "refused":
		gw, err := actor.GatewayOf(ctx)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(gw.Stats().Refused), nil
	case "peers":
		var all []string
		for _, s := range rt.Sessions() {
			all = append(all, s.Peer.String())
		}
		slices.Sort(all)
		return strings.Join(all, " "), nil
	}
	return "", fmt.Errorf("%q is no question", question)
}

// otherHost is a host in a process of its own.
type otherHost struct {
	t     *testing.T
	front channel.Addr
	local id.Proc // of the program itself
	pid   int
	in    io.WriteCloser
	out   *bufio.Scanner
	log   *log
	end   func() // ends it
	last  string // what it said last, when it has ended: how many it has refused
}

// log is what a host writes to stderr.
type log struct {
	mu      sync.Mutex // guards the following
	text    strings.Builder
	changed chan struct{} // has room for one
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startHost starts a host that ends with the test.
func startHost(t *testing.T, a *authority.Authority, name string, front channel.Addr) *otherHost {
	t.Helper()
	h := &otherHost{t: t, log: &log{changed: make(chan struct{}, 1)}}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", hostVariable, name, saveHost(t, a, name), front), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = h.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if h.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.pid, h.out = cmd.Process.Pid, bufio.NewScanner(out)
	h.end = sync.OnceFunc(func() {
		h.in.Close()
		for h.out.Scan() {
			h.last = h.out.Text()
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("host %s: %v\n%s", name, err, h.log)
		}
	})
	t.Cleanup(func() { h.end() })
	front2, local, _ := strings.Cut(h.line(), " ")
	h.front = channel.Addr(front2)
	if h.local, err = id.ParseProc(local); err != nil {
		t.Fatal(err)
	}
	return h
}

// line returns the next line that the host prints.
func (h *otherHost) line() string {
	h.t.Helper()
	if !h.out.Scan() {
		h.t.Fatalf("the host has ended: %v\n%s", h.out.Err(), h.log)
	}
	return h.out.Text()
}

func (h *otherHost) ask(question string) string {
	h.t.Helper()
	fmt.Fprintln(h.in, question)
	return h.line()
}

// spawn has the host spawn a proc.
func (h *otherHost) spawn() id.Proc {
	h.t.Helper()
	p, err := id.ParseProc(h.ask("spawn"))
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// resident is an actor that says where it lives, visitor one that goes to other
// hosts.
type (
	resident struct{}
	visitor  struct{}
)

var (
	join       = actor.On("visitor.join", (*visitor).Join)
	listenAt   = actor.On("visitor.listen", (*visitor).Listen)
	ask        = actor.On("visitor.ask", (*visitor).Ask)
	wait       = actor.On("visitor.wait", (*visitor).Wait)
	newVisitor = actor.Define("visitor", func(context.Context, actor.None) (*visitor, error) { return &visitor{}, nil }, join, listenAt, ask, wait)

	where       = actor.On("resident.where", (*resident).Where)
	newResident = actor.Define("resident", func(context.Context, actor.None) (*resident, error) { return &resident{}, nil }, where)
)

func visitorTypes() []actor.AnyType { return []actor.AnyType{newVisitor, newResident} }

// Join joins a host and returns who that is.
func (*visitor) Join(ctx context.Context, addr channel.Addr) (id.Proc, error) {
	return hyperactor.Join(ctx, addr)
}

// Listen listens and returns where.
func (*visitor) Listen(ctx context.Context, addr channel.Addr) (channel.Addr, error) {
	return hyperactor.Listen(ctx, addr)
}

// Ask spawns an actor in a proc, and calls it.
func (*visitor) Ask(ctx context.Context, p id.Proc) (id.Proc, error) {
	ref, err := newResident.Spawn(ctx, p, fmt.Sprintf("r-%016x", id.NewUID()), actor.None{})
	if err != nil {
		return id.Proc{}, err
	}
	return where.Call(ctx, ref, actor.None{})
}

// Wait has time pass for the certificates of its proc.
func (*visitor) Wait(_ context.Context, d time.Duration) (time.Time, error) {
	ahead.Add(int64(d))
	return clock(), nil
}

// Where returns where the actor lives.
func (*resident) Where(ctx context.Context, _ actor.None) (id.Proc, error) { return actor.ProcOf(ctx) }

// saveHost returns a directory of a host's certificates.
func saveHost(t *testing.T, a *authority.Authority, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := newHost(t, a, name, time.Hour).Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}
