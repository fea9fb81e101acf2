package cable

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/actor"
)

// TestRealReceiverDies kills a process that has handled messages whose
// acknowledgements are on their way, and starts it again (row 106). The sender
// learns of each message: it was handled, it was not, or it is in doubt (MS-3,
// MS-5); what was handled was handled once; and the new process is reached at
// once (MS-6).
func TestRealReceiverDies(t *testing.T) { overEach(t, receiverDies) }

func receiverDies(f *fleet) {
	a, b := f.nodes[0], f.nodes[1]
	b.kill()
	b.cfg.Journal = filepath.Join(f.TempDir(), "journal")
	b = b.restart()
	a.knows(b)
	a.sends(Load{To: b.id(), From: "first", First: 1, Count: 10, Call: true})()

	// No acknowledgement and no reply: TCP's are missing, too, so that only as
	// much goes out as it begins with, ten packets.
	const callers, sends = 4, 4
	f.cable.Set(1, 0, Quality{Cut: true})
	var loads []Load
	var sent []func() Sent
	for i := range callers {
		l := Load{To: b.id(), From: fmt.Sprint("call", i), First: 1, Count: 1, Call: true}
		loads, sent = append(loads, l), append(sent, begin[Sent](a, "Load", l))
		b.awaitHandled(l.From, 1)
	}
	a.sends(Load{To: b.id(), From: "send", First: 1, Count: sends})()
	b.awaitHandled("send", sends)
	f.cable.Set(0, 1, Quality{Cut: true})
	late := Load{To: b.id(), From: "late", First: 1, Count: 1, Call: true} // nothing of it arrives
	loads, sent = append(loads, late), append(sent, begin[Sent](a, "Load", late))
	b.kill()
	// What the kernel still has to say for the dead process is not to arrive: it
	// forgets that when it hears of the connection again.
	f.cable.Set(0, 1, Quality{})
	f.within(found, 1, 0, "the kernel forgets the connection", func(s Stats) bool { return s.RST > 0 })
	f.cable.Set(1, 0, Quality{})
	began := time.Now()
	b = b.restart()
	var got []Sent
	for _, wait := range sent {
		got = append(got, wait())
	}
	f.Logf("the sender knew %v after the new process was started", time.Since(began))
	began = time.Now()
	again := Load{To: b.id(), From: "again", First: 1, Count: 100, Call: true}
	a.sends(again)()
	f.Logf("then 100 calls took %v", time.Since(began))
	b.handled(again)

	handled := f.journal(b)
	for i, l := range loads {
		f.settledAs(l, got[i], handled)
	}
	back := call[[]string](a, "Returned", "send")
	if len(back) != sends {
		f.Errorf("%d of %d messages came back, want all: none was acknowledged", len(back), sends)
	}
	for _, text := range back {
		if !strings.Contains(text, fmt.Sprint(actor.ErrPeerGone, ": ", actor.ErrInDoubt)) {
			f.Errorf("%q came back, want it in doubt", text)
		}
	}
	for line, times := range handled {
		if times > 1 {
			f.Errorf("%q was handled %d times", line, times)
		}
	}
}

// settledAs checks the outcomes of the calls of a sender: one that was answered
// was handled once, one that failed was not, unless the error says perhaps.
func (f *fleet) settledAs(l Load, got Sent, handled map[string]int) {
	f.Helper()
	failed := map[int]Outcome{}
	for _, o := range got.Outcomes {
		failed[o.N] = o
	}
	for n := l.First; n < l.First+l.Count; n++ {
		times := handled[fmt.Sprintf("%s %d", l.From, n)]
		switch o, bad := failed[n]; {
		case !bad && times != 1:
			f.Errorf("call %d of %s was answered and handled %d times", n, l.From, times)
		case bad && !o.Doubt && times > 0:
			f.Errorf("call %d of %s failed (%s), although it was handled", n, l.From, o.Error)
		}
	}
}

// journal returns how often each message was handled, by sender and number.
func (f *fleet) journal(n *node) map[string]int {
	f.Helper()
	b, err := os.ReadFile(n.cfg.Journal)
	if err != nil {
		f.Fatal(err)
	}
	times := map[string]int{}
	for line := range strings.Lines(string(b)) {
		times[strings.TrimSpace(line)]++
	}
	return times
}

// TestRealSenderDies kills a process whose messages are under way and starts it
// again (row 107): it begins anew, and what it says is taken at once (MS-6).
func TestRealSenderDies(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	a, b := f.nodes[0], f.nodes[1]
	a.knows(b)
	begin[Sent](a, "Load", Load{To: b.id(), From: "before", First: 1, Count: 100_000, Size: 100})
	b.awaitHandled("before", 100)
	a.kill()
	began := time.Now()
	a = a.restart()
	a.knows(b)
	after := Load{To: b.id(), From: "after", First: 1, Count: 100, Call: true}
	a.sends(after)()
	t.Logf("100 calls of the new process had ended %v after it was started", time.Since(began))
	b.handled(after)
	if got := call[map[string]Account](b, "Accounts", struct{}{})["before"]; len(got.Faults) > 0 {
		t.Errorf("got %+v", got)
	}
}

// TestRealRestart kills a process in peace, so that its kernel says so, and
// starts it again: it is reached at once (MS-6). A call that was meant for the
// one before may fail; the next one does not, although the loss may be told while
// it is being sent.
func TestRealRestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	a, b := f.nodes[0], f.nodes[1]
	b.kill()
	b.cfg.Journal = filepath.Join(t.TempDir(), "journal")
	b = b.restart()
	a.knows(b)
	for i := range 10 {
		from := fmt.Sprint("life", i)
		began := time.Now()
		l := Load{To: b.id(), From: from, First: 1, Count: 20, Call: true}
		got := begin[Sent](a, "Load", l)()
		f.settledAs(l, got, f.journal(b))
		if failed := len(got.Outcomes); failed > 1 || failed == 1 && got.Outcomes[0].N != 1 {
			t.Errorf("life %d: %d of 20 calls failed: %+v; want none but perhaps the first", i, failed, got.Outcomes)
		}
		t.Logf("life %d: 20 calls in %v, failed: %+v", i, time.Since(began), got.Outcomes)
		b.kill()
		f.within(found, 1, 0, "the kernel ends the connections", func(s Stats) bool { return s.FIN+s.RST > i })
		b = b.restart()
	}
}
