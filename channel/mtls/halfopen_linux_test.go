package mtls_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

const (
	strangers    = 10_000 // who connect and do not go on
	fewStrangers = 2_000  // with fewer the test says nothing
	spareFiles   = 1_000  // descriptors for everything else

	// mute is how many say nothing, before anybody says something wrong: more than
	// there is room for. So the host's first refusal, which it logs, is that of one
	// who was overtaken; of others that come in the same second it logs none.
	mute = 1_000

	// maxGrowth is how much memory they may cost the host, by what the kernel
	// counts at the worst moment.
	maxGrowth = raceFactor * 48 << 20
)

// MS-15: thousands that connect, with TLS or without, and say nothing or half a
// hello, stop nobody else, cost bounded memory, and are put out.
func TestRealHalfOpenConnectionsStopNobody(t *testing.T) {
	demo := newAuthority(t, "demo")
	beta := startHost(t, demo, "beta", "tls:127.0.0.1:0")
	fronts := []channel.Addr{beta.front, channel.Addr(beta.ask("plain"))}
	regular := newGuest(t, demo, beta)
	if failed, err := regular.enter(fronts[0], 1); err != nil {
		t.Fatalf("%d attempts: %v", failed, err)
	}
	before := peakMemory(t, beta.pid)
	crowd := newCrowd(t, fronts)
	began, failed := time.Now(), 0
	for part := range 10 {
		crowd.grow(crowd.size * (part + 1) / 10)
		regular.talks()
		failed += comesIn(t, newGuest(t, demo, beta), fronts[part%2], 10)
	}
	t.Logf("%d have connected after %v; %d attempts of others failed meanwhile", crowd.size, time.Since(began), failed)
	for part := range 10 { // nobody comes any more, but those who stand at the door
		comesIn(t, newGuest(t, demo, beta), fronts[part%2], 1)
	}
	crowd.putOut()
	t.Logf("all are put out after %v", time.Since(began))
	regular.talks()
	growth := peakMemory(t, beta.pid) - before
	t.Logf("the host took %d KiB for it", growth>>10)
	if growth > maxGrowth {
		t.Errorf("the host took %d bytes, at most %d are right", growth, maxGrowth)
	}
	regular.Close(t.Context())
	beta.end()
	if refused, err := strconv.Atoi(beta.last); err != nil || refused < crowd.size || refused > crowd.size+failed {
		t.Errorf("the host refused %s, want %d and at most %d more", beta.last, crowd.size, failed)
	}
	for _, why := range []string{"the peer did not say hello in time", "have not said hello, and this one was the oldest"} {
		if !strings.Contains(beta.log.String(), why) {
			t.Errorf("the log does not say %q", why)
		}
	}
}

// comesIn has a guest enter, and returns how many of its attempts failed.
func comesIn(t *testing.T, g *guest, front channel.Addr, attempts int) int {
	t.Helper()
	defer g.Close(t.Context())
	failed, err := g.enter(front, attempts)
	if err != nil {
		t.Fatalf("%d attempts to come in at %s: %v", attempts, front, err)
	}
	g.talks()
	return failed
}

// guest is a proc that has every right to talk with a host.
type guest struct {
	*gateway.Gateway
	t    *testing.T
	proc *actor.Proc
	host *otherHost
}

func newGuest(t *testing.T, a *authority.Authority, h *otherHost) *guest {
	t.Helper()
	p, err := id.NewProc("alpha", "guest")
	if err != nil {
		t.Fatal(err)
	}
	transports := channel.System(channel.SystemConfig{})
	transports["tls"] = newTransport(t, nil, newProc(t, newHost(t, a, "alpha", time.Hour), p))
	g := &guest{t: t, host: h, Gateway: gateway.New(gateway.Config{Self: p, Token: []byte(token), Transports: transports})}
	if g.proc, err = actor.NewProc(actor.Config{ID: p, Types: visitorTypes(), Gateway: g.Gateway}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.proc.Stop(context.Background(), time.Second)
		g.Close(context.Background())
	})
	return g
}

// enter joins the host, and returns how many attempts failed.
func (g *guest) enter(front channel.Addr, attempts int) (failed int, err error) {
	for failed = range attempts {
		if _, err = g.Join(g.t.Context(), front); err == nil {
			return failed, nil
		}
	}
	return attempts, err
}

// talks requires that the guest calls an actor of the host.
func (g *guest) talks() {
	g.t.Helper()
	ctx := g.proc.Context(g.t.Context())
	ref, err := newResident.Spawn(ctx, g.host.local, fmt.Sprintf("r-%016x", id.NewUID()), actor.None{})
	if err == nil {
		_, err = where.Call(ctx, ref, actor.None{})
	}
	if err == nil {
		err = ref.Stop(ctx, time.Second)
	}
	if err != nil {
		g.t.Errorf("a guest talks: %v", err)
	}
}

// crowd is connections of those who do not go on.
type crowd struct {
	t      *testing.T
	size   int
	fronts []channel.Addr
	words  [][]byte // what they say
	conns  []net.Conn
	out    sync.WaitGroup
}

// newCrowd returns one that has as many as this process may have descriptors.
func newCrowd(t *testing.T, fronts []channel.Addr) *crowd {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil { // Go has raised it as far as it may
		t.Fatal(err)
	}
	size := int(min(strangers, limit.Cur-min(limit.Cur, spareFiles)))
	if size < fewStrangers {
		t.Skipf("%d descriptors are allowed, want at least %d", limit.Cur, fewStrangers+spareFiles)
	}
	hello, err := wire.Hello{Version: wire.Version, Peer: procA, Limits: wire.Limits{}.WithDefaults()}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	clientHello := sayHello(t)
	c := &crowd{t: t, size: size, fronts: fronts, words: [][]byte{nil, hello[:len(hello)/2], clientHello[:3], clientHello[:len(clientHello)/2]}}
	t.Cleanup(func() {
		for _, conn := range c.conns {
			conn.Close()
		}
		c.out.Wait()
	})
	return c
}

// sayHello returns what a client of TLS says first.
func sayHello(t *testing.T) []byte {
	r := &mouthpiece{}
	tls.Client(r, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}).Handshake()
	if len(r.said) == 0 {
		t.Fatal("a client of TLS says nothing")
	}
	return r.said
}

// mouthpiece keeps what is written to it, and does not answer.
type mouthpiece struct {
	net.Conn
	said []byte
}

func (r *mouthpiece) Write(b []byte) (int, error) {
	r.said = append(r.said, b...)
	return len(b), nil
}
func (r *mouthpiece) Read([]byte) (int, error) { return 0, errors.New("there is no answer") }
func (r *mouthpiece) Close() error             { return nil }

// grow has more connect until there are n, from several addresses: each has a
// limited number of ports.
func (c *crowd) grow(n int) {
	c.t.Helper()
	for i := len(c.conns); i < n; i++ {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%20))}}
		front, words := c.fronts[i%len(c.fronts)], c.words[0]
		if i >= mute {
			words = c.words[i/len(c.fronts)%len(c.words)]
		}
		conn, err := d.DialContext(c.t.Context(), "tcp", front.Address())
		if err != nil {
			c.t.Fatalf("stranger %d: %v", i, err)
		}
		c.conns = append(c.conns, conn)
		conn.Write(words) // who was put out at once does not hear of it here
		c.out.Go(func() { conn.Read(make([]byte, 1)) })
	}
}

// putOut waits until the host has put everybody out.
func (c *crowd) putOut() {
	c.t.Helper()
	all := make(chan struct{})
	go func() { // ends with the connections
		c.out.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		c.t.Fatal("the host has not put everybody out")
	}
}

// peakMemory returns the most that a process ever had in memory.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("the kernel does not say how much memory the host had")
	return 0
}
