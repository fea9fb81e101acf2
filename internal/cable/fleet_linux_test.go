package cable

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/gateway"
	"github.com/hyperactor/hyperactor/id"
)

// fleet is a cable with a Node on each host.
type fleet struct {
	*testing.T
	cable *Cable
	nodes []*node
}

// node is a Node as the test sees it.
type node struct {
	*fleet
	host   int
	cfg    NodeConfig
	cmd    *exec.Cmd
	client *rpc.Client
	stderr bytes.Buffer
	ended  bool
}

// newFleet starts that many nodes that know nobody, over TCP in plain text.
// They end with the test.
func newFleet(t *testing.T, hosts int) *fleet { return newFleetOver(t, hosts, "tcp") }

// newFleetOver is newFleet over "tcp" or "tls".
func newFleetOver(t *testing.T, hosts int, transport string) *fleet {
	t.Helper()
	f := &fleet{T: t, cable: newCable(t, hosts)}
	var fleetAuthority *authority.Authority
	if transport == "tls" {
		var err error
		if fleetAuthority, err = authority.New("cable", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	for i := range hosts {
		p, err := id.NewProc(fmt.Sprint("host", i), "node")
		if err != nil {
			t.Fatal(err)
		}
		f.nodes = append(f.nodes, f.start(i, NodeConfig{
			Self:        p,
			Listen:      channel.Addr(transport + ":" + f.cable.Addr(i).String() + ":7000"),
			Credentials: credentials(t, fleetAuthority, p),
		}))
	}
	return f
}

// credentials returns what a proc proves with who it is, or nothing if nobody
// has the authority to say so.
func credentials(t *testing.T, a *authority.Authority, p id.Proc) []byte {
	t.Helper()
	if a == nil {
		return nil
	}
	h, err := a.Host(p.Host, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Issuer.Proc(p, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// overEach runs a test with two nodes over each transport.
func overEach(t *testing.T, test func(f *fleet)) {
	t.Parallel()
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			test(newFleetOver(t, 2, transport))
		})
	}
}

// start starts a node on a host.
func (f *fleet) start(host int, cfg NodeConfig) *node {
	f.Helper()
	n := &node{fleet: f, host: host, cfg: cfg, cmd: exec.Command("/proc/self/exe")}
	text, err := json.Marshal(cfg)
	if err != nil {
		f.Fatal(err)
	}
	n.cmd.Env = append(os.Environ(), hostVariable+"="+string(text))
	n.cmd.Stderr = &n.stderr
	in, err := n.cmd.StdinPipe()
	if err != nil {
		f.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	if err := f.cable.In(host, n.cmd.Start); err != nil {
		f.Fatal(err)
	}
	n.client = jsonrpc.NewClient(pipes{out, in})
	f.Cleanup(n.end)
	n.stock() // it is there when it answers
	return n
}

// pipes are a connection to the standard input and output of a process.
type pipes struct {
	io.ReadCloser
	in io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close closes what the process reads; it ends and closes what it writes.
func (p pipes) Close() error { return p.in.Close() }

// end ends the node, if that has not happened, and shows what it said if the
// test has failed.
func (n *node) end() {
	if n.ended {
		return
	}
	if n.Failed() {
		var log string
		n.client.Call("Node.Log", struct{}{}, &log)
		n.Logf("log of host %d:\n%s", n.host, log)
	}
	n.kill()
	if n.stderr.Len() > 0 {
		n.Errorf("host %d said: %s", n.host, &n.stderr)
	}
}

// kill ends the process at once.
func (n *node) kill() {
	n.ended = true
	n.signal(syscall.SIGKILL)
	n.client.Close()
	n.cmd.Wait()
}

// restart starts the node again after kill: the same proc at the same address.
func (n *node) restart() *node {
	n.Helper()
	again := n.start(n.host, n.cfg)
	n.nodes[n.host] = again
	return again
}

func (n *node) signal(s syscall.Signal) {
	n.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.Error(err)
	}
}

// call calls a method of the Node.
func call[Out any](n *node, method string, in any) Out {
	n.Helper()
	return begin[Out](n, method, in)()
}

// begin is call without the wait: await gives the result.
func begin[Out any](n *node, method string, in any) (await func() Out) {
	n.Helper()
	out := new(Out)
	c := n.client.Go("Node."+method, in, out, make(chan *rpc.Call, 1))
	return func() Out {
		n.Helper()
		bound := time.NewTimer(patience)
		defer bound.Stop()
		select {
		case <-c.Done:
			if c.Error != nil {
				n.Fatalf("%s on host %d: %v %s", method, n.host, c.Error, &n.stderr)
			}
		case <-bound.C:
			n.Fatalf("%s on host %d has not ended after %v", method, n.host, patience)
		}
		return *out
	}
}

// patience bounds what has to happen but not fast.
const patience = 3 * time.Minute

func (n *node) id() id.Proc          { return n.cfg.Self }
func (n *node) stock() Stock         { n.Helper(); return call[Stock](n, "Stock", struct{}{}) }
func (n *node) stats() gateway.Stats { n.Helper(); return call[gateway.Stats](n, "Stats", struct{}{}) }

// knows tells n where others listen.
func (n *node) knows(others ...*node) {
	n.Helper()
	for _, other := range others {
		call[struct{}](n, "Route", Way{To: other.id(), Addr: other.cfg.Listen})
	}
}

// sends sends a load and checks that all of it was taken.
func (n *node) sends(l Load) (await func() Sent) {
	n.Helper()
	sent := begin[Sent](n, "Load", l)
	return func() Sent {
		n.Helper()
		s := sent()
		if len(s.Outcomes) > 0 {
			n.Errorf("%d of %d messages of %s failed, the first with %+v", len(s.Outcomes), l.Count, l.From, s.Outcomes[0])
		}
		return s
	}
}

// handled checks that n has handled exactly the loads, each in order. They
// must end with a call, or come over one session before one that does.
func (n *node) handled(loads ...Load) {
	n.Helper()
	got := call[map[string]Account](n, "Accounts", struct{}{})
	for _, l := range loads {
		want, have := l.account(), got[l.From]
		if len(have.Faults) > 0 {
			n.Errorf("host %d, from %s: %d faults, the first %q", n.host, l.From, len(have.Faults), have.Faults[0])
		}
		if have.Handled != want.Handled || have.Last != want.Last || have.Digest != want.Digest {
			n.Errorf("host %d, from %s: handled %d up to %d with digest %s, want %d up to %d with digest %s", n.host, l.From,
				have.Handled, have.Last, have.Digest, want.Handled, want.Last, want.Digest)
		}
	}
}

// last lets a fault last that long, or longer with -full.
func last(usually, fully time.Duration) {
	d := usually
	if *full {
		d = fully
	}
	<-time.After(d)
}

// ids returns the ids of nodes.
func ids(nodes ...*node) []id.Proc {
	var all []id.Proc
	for _, n := range nodes {
		all = append(all, n.id())
	}
	return all
}

// holds waits until that many calls hang at n.
func (n *node) holds(calls int) {
	n.Helper()
	call[struct{}](n, "AwaitHeld", calls)
}

// awaitHandled waits until n has handled that many messages of a sender.
func (n *node) awaitHandled(from string, count int) {
	n.Helper()
	call[struct{}](n, "AwaitHandled", Load{From: from, Count: count})
}

// found is the bound for finding out that a peer is silent: 5 s, and a lot for
// a loaded machine (MS-11).
const found = 15 * time.Second

// within fails the test unless packets from one host to another come to be as
// until says, in that time.
func (f *fleet) within(bound time.Duration, from, to int, what string, until func(Stats) bool) {
	f.Helper()
	if !f.becomes(bound, from, to, until) {
		f.Errorf("%s: not within %v; there %+v, back %+v", what, bound, f.cable.Stats(from, to), f.cable.Stats(to, from))
	}
}

// becomes reports whether packets from one host to another come to be as until
// says, in that time.
func (f *fleet) becomes(bound time.Duration, from, to int, until func(Stats) bool) bool {
	ctx, cancel := context.WithTimeout(f.Context(), bound)
	defer cancel()
	return f.cable.Await(ctx, from, to, until) == nil
}

// oneConnection checks that the first host has made one connection to the
// second, and that nobody has ended it.
func (f *fleet) oneConnection() {
	f.Helper()
	there, back := f.cable.Stats(0, 1), f.cable.Stats(1, 0)
	if there.SYN != 1 || back.SYN+there.FIN+back.FIN+there.RST+back.RST > 0 {
		f.Errorf("there %+v, back %+v, want one connection", there, back)
	}
}

// connections returns how many connections of its network the kernel of n
// takes to be up.
func (n *node) connections() int {
	n.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", n.cmd.Process.Pid))
	if err != nil {
		n.Fatal(err)
	}
	const state, established = 3, "01"
	up := 0
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > state && fields[state] == established {
			up++
		}
	}
	return up
}

// disconnected waits until n has given all its connections up, however little
// its peers know of it: the kernel tells nobody, so it is asked again and again.
func (n *node) disconnected(bound time.Duration) {
	n.Helper()
	end := time.NewTimer(bound)
	defer end.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for n.connections() > 0 {
		select {
		case <-again.C:
		case <-end.C:
			n.Errorf("host %d has not given its connection up within %v", n.host, bound)
			return
		}
	}
}
