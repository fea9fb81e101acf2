package channel_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

const peerVariable = "CHANNEL_TEST_PEER"

func TestMain(m *testing.M) {
	if path := os.Getenv(peerVariable); path != "" {
		bePeer(path)
		return
	}
	os.Exit(m.Run())
}

// bePeer listens at path and serves one session:
//
//	sum    answers with the checksum of the first part, and releases it
//	hold   answers and keeps the part
//	flood  sends parts of 1 MiB until it is killed
//	census answers with what memory it has
func bePeer(path string) {
	l, err := channel.System(channel.SystemConfig{})["unix"].Listen(context.Background(), path)
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	conn, err := l.Accept()
	if err != nil {
		panic(err)
	}
	var held []wire.Bulk
	s, err := new(channel.Hub).Accept(context.Background(), conn, channel.Config{
		Hello: wire.Hello{Peer: procB},
		Handle: func(s *channel.Session, e *wire.Envelope) {
			answer := "held"
			switch e.Method {
			case "sum":
				e.Parts[0].View(func(p []byte) error {
					answer = fmt.Sprint(crc32.ChecksumIEEE(p))
					return nil
				})
				e.Release()
			case "hold":
				held = append(held, e.Parts...)
			case "flood":
				go flood(s)
			case "census":
				answer = census()
			}
			s.TrySend(&wire.Envelope{Kind: wire.Reply, TTL: 8, Call: e.Call, To: e.From, From: e.To, Method: e.Method, Body: []byte(answer)})
		},
	})
	if err != nil {
		panic(err)
	}
	s.Run()
	io.Copy(io.Discard, os.Stdin) // until the test has ended
}

func flood(s *channel.Session) {
	for b := filled(1 << 20); ; {
		e := message(wire.Call, 0, "")
		e.Parts = []wire.Bulk{wire.NewBulk(b)}
		if s.Send(context.Background(), e) != nil {
			return
		}
	}
}

// census says how many descriptors and mappings of shared memory this process has.
func census() string {
	descriptors := 0
	files, _ := os.ReadDir("/proc/self/fd")
	for _, f := range files {
		if to, _ := os.Readlink("/proc/self/fd/" + f.Name()); strings.Contains(to, "memfd:hyperactor") {
			descriptors++
		}
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	return fmt.Sprintf("%d descriptors, %d mappings", descriptors, bytes.Count(maps, []byte("memfd:hyperactor")))
}

const nothing = "0 descriptors, 0 mappings"

// process is a peer in a process of its own.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	session *channel.Session
	in      arrived
	ran     chan struct{}
	calls   uint64
}

func startPeer(t *testing.T) *process {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), peerVariable+"="+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, in: make(arrived, 1000), ran: make(chan struct{})}
	t.Cleanup(func() {
		stdin.Close()
		p.kill()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	p.session, err = channel.Dial(t.Context(), channel.System(channel.SystemConfig{})["unix"], path, channel.Config{
		Hello: wire.Hello{Peer: procA}, Handle: p.in.handle,
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { // end waits for it
		defer close(p.ran)
		p.session.Run()
	}()
	t.Cleanup(p.end)
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *process) end() {
	p.session.Abort(errors.New("the test is over"))
	<-p.ran
}

func (p *process) send(method string, parts ...wire.Bulk) error {
	p.calls++
	e := message(wire.Call, p.calls, "")
	e.Method, e.Parts = method, parts
	return p.session.Send(p.t.Context(), e)
}

// ask sends a message and returns the answer.
func (p *process) ask(method string, parts ...wire.Bulk) string {
	p.t.Helper()
	if err := p.send(method, parts...); err != nil {
		p.t.Fatal(err)
	}
	e := <-p.in
	return string(e.Body)
}

func TestRealMS9SharedMemory(t *testing.T) {
	p := startPeer(t)
	b := filled(16 << 20)
	want := strconv.Itoa(int(crc32.ChecksumIEEE(b)))
	for range 10 {
		if got := p.ask("sum", wire.NewBulk(b)); got != want {
			t.Fatalf("checksum %s, want %s", got, want)
		}
	}
	if st := p.session.Status(); st.Shared != 16<<20 || st.NotShared != nil {
		t.Errorf("%d bytes are shared, %v", st.Shared, st.NotShared)
	}
	for who, got := range map[string]string{"we": census(), "the peer": p.ask("census")} {
		if got != "0 descriptors, 1 mappings" {
			t.Errorf("%s have %s", who, got)
		}
	}
	p.session.RingAt(time.Now().Add(time.Minute)) // nobody has used it for long
	if got := p.ask("census"); got != nothing || census() != nothing {
		t.Errorf("after a time without use: we have %s, the peer has %s", census(), got)
	}
	for range 3 {
		if got := p.ask("sum", wire.NewBulk(b)); got != want {
			t.Fatalf("checksum %s, want %s", got, want)
		}
	}
	p.end()
	if got := census(); got != nothing {
		t.Errorf("after the end: %s", got)
	}
}

// A peer that cannot open our memory, here because no kernel says who it is, gets
// everything through the socket. Somebody is told, once.
func TestRealMS9NotShared(t *testing.T) {
	near, far := realPair(t, "tcp")
	in := make(arrived, 1)
	told := make(chan error, 10)
	client, _ := sessions(t, near, far, in.handle, in.handle, func(c *channel.Config) { c.NotShared = func(err error) { told <- err } })
	b := filled(1 << 20)
	send := func(call uint64, parts ...int) {
		e := withParts(call, b, 0, parts...)
		if err := client.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		got := <-in
		if diff := same(&got, e); diff != "" {
			t.Fatal(diff)
		}
	}
	send(1) // from here on there is a connection
	send(2, 1<<20)
	why := <-told
	send(3, 1<<20)
	send(4, 1<<20)
	if st := client.Status(); why == nil || !errors.Is(st.NotShared, why) || st.BySocket != 3 || st.Shared != 0 || len(told) != 0 {
		t.Errorf("%+v, told %v and %d times more", st, why, len(told))
	}
	if got := census(); got != nothing {
		t.Errorf("%s are left", got)
	}
}

// What a process shares with all its peers is bounded, too: the others get
// everything through the socket.
func TestRealMS9SharedWithManyPeers(t *testing.T) {
	hub := new(channel.Hub)
	part := wire.NewBulk(make([]byte, 32<<20))
	var all []*channel.Session
	for range 20 {
		near, far := realPair(t, "unix")
		in := make(arrived, 1)
		s, _ := sessions(t, near, far, in.handle, in.handle, func(c *channel.Config) { c.Hub = hub })
		e := message(wire.Call, 1, "")
		e.Parts = []wire.Bulk{part}
		for range 2 {
			if err := s.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			got := <-in
			got.Release()
		}
		all = append(all, s)
	}
	shared := 0
	for _, s := range all {
		shared += s.Status().Shared
	}
	if shared == 0 || shared > 512<<20 {
		t.Errorf("%d bytes are shared", shared)
	}
}

// A receiver that keeps everything makes the sender use the socket, and blocks
// nobody.
func TestRealMS9ReceiverKeepsAll(t *testing.T) {
	p := startPeer(t)
	b := filled(8 << 20)
	for range 20 {
		if got := p.ask("hold", wire.NewBulk(b)); got != "held" {
			t.Fatal(got)
		}
	}
	if got := p.session.Status().Shared; got > 64<<20 {
		t.Errorf("%d bytes are shared", got)
	}
	if got := p.ask("sum", wire.NewBulk(b)); got != fmt.Sprint(crc32.ChecksumIEEE(b)) {
		t.Error("a message is damaged")
	}
}

// The sender dies in the middle: what came stays, and goes when it is released.
func TestRealMS9SenderKilled(t *testing.T) {
	p := startPeer(t)
	if err := p.send("flood"); err != nil {
		t.Fatal(err)
	}
	var held []wire.Envelope
	for range 30 {
		held = append(held, <-p.in)
	}
	p.kill()
	<-p.ran
	for len(p.in) > 0 {
		held = append(held, <-p.in)
	}
	want := filled(1 << 20)
	for _, e := range held {
		if len(e.Parts) == 0 {
			continue // the answer
		}
		if err := e.Parts[0].View(func(b []byte) error {
			if !bytes.Equal(b, want) {
				return errors.New("damaged")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if census() == nothing {
		t.Error("nothing came through memory")
	}
	for i := range held {
		held[i].Release()
	}
	if got := census(); got != nothing {
		t.Errorf("%s are left", got)
	}
}

// The receiver dies in the middle: the sender gets its memory back.
func TestRealMS9ReceiverKilled(t *testing.T) {
	p := startPeer(t)
	b := filled(4 << 20)
	p.ask("hold", wire.NewBulk(b))
	sent := make(chan struct{})
	go func() { // waited for below
		defer close(sent)
		for p.send("hold", wire.NewBulk(b)) == nil {
		}
	}()
	for range 5 {
		<-p.in
	}
	p.kill()
	<-sent
	<-p.ran
	if got := census(); got != nothing {
		t.Errorf("%s are left", got)
	}
}

// Who forgets what it received does not keep the memory: the garbage collector
// gives it back.
func TestRealMS9ForgottenParts(t *testing.T) {
	near, far := realPair(t, "unix")
	in := make(arrived, 1)
	client, _ := sessions(t, near, far, in.handle, in.handle)
	b := filled(1 << 20)
	shared := 0
	for call := uint64(1); shared < 200; call++ { // 64 MiB are full after 64
		if call > 3000 {
			t.Fatalf("%d of %d messages came through memory", shared, call)
		}
		e := message(wire.Call, call, "")
		e.Parts = []wire.Bulk{wire.NewBulk(b)}
		if err := client.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		got := <-in
		if lent(got.Parts[0]) {
			shared++
		}
		if call%50 == 0 {
			got = wire.Envelope{}
			runtime.GC()
		}
	}
}

// lent reports whether b is in shared memory.
func lent(b wire.Bulk) bool {
	p, err := b.Pin()
	if err != nil {
		return false
	}
	defer b.Unpin()
	at := uint64(uintptr(unsafe.Pointer(&p[0])))
	maps, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		fmt.Sscanf(line, "%x-%x", &from, &to)
		if from <= at && at < to {
			return strings.Contains(line, "memfd:hyperactor")
		}
	}
	return false
}
