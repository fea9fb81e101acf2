package keeper

import (
	"errors"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/internal/tree"
)

func requests() []request {
	return []request{
		{Hello: &hello{Version: version, Records: "/tmp/x"}},
		{ID: 1, Start: &start{
			Path: "/bin/true", Argv: []string{"true", ""}, Env: []string{"A=1"}, Dir: "/", Mark: "M", Seen: 3,
			Limits: launch.Limits{User: &launch.User{UID: 1}, Umask: new(0o22), Rlimits: []launch.Rlimit{{Name: "core", Hard: launch.Unlimited}}},
		}},
		{ID: 1 << 60, Signal: &signals{Numbers: []int{15, 18}}},
	}
}

func events() []event {
	return []event{
		{Hello: &hello{Version: version, Problem: "none"}},
		{ID: 1, Started: &started{PID: 7, At: 1 << 60, Group: true}},
		{ID: 1, Failed: &failed{Errno: 2, Text: "no such file"}},
		{ID: 1, Ended: &ended{At: 5, End: tree.End{Code: 3, Usage: launch.Rusage{MaxRSS: 1}}, Swept: 2}},
		{Bye: &bye{}},
	}
}

// filesOf returns how many descriptors come with a message of ours.
func filesOf(m any) int {
	switch m := m.(type) {
	case request:
		if m.Start != nil {
			return 3
		}
	case event:
		if m.Started != nil {
			return 1
		}
	}
	return 0
}

func roundTrip[M request | event](t *testing.T, m M) {
	t.Helper()
	b, err := appendFrame([]byte("before"), m, filesOf(m))
	if err != nil {
		t.Fatal(err)
	}
	f, rest, need, err := cutFrame(append(b, "after"...)[len("before"):])
	if err != nil || need != 0 || string(rest) != "after" {
		t.Fatalf("got %q, %d, %v", rest, need, err)
	}
	got, err := decode[M](f)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v, want %+v", got, err, m)
	}
	f.files++
	if _, err := decode[M](f); !errors.Is(err, errProtocol) {
		t.Errorf("with a descriptor too many: %v", err)
	}
}

func TestMessages(t *testing.T) {
	for _, r := range requests() {
		roundTrip(t, r)
	}
	for _, e := range events() {
		roundTrip(t, e)
	}
	if _, err := appendFrame(nil, request{Start: &start{Path: string(make([]byte, maxMessage))}}, 2); !errors.Is(err, syscall.E2BIG) {
		t.Errorf("a message that is too long: %v", err)
	}
}

// TestRefusal checks that an error says the same on both sides.
func TestRefusal(t *testing.T) {
	for _, err := range []error{
		syscall.ENOENT,
		errors.New("words"),
		errors.Join(errors.New("words"), syscall.EMFILE),
		&launch.StartError{Op: "limit", Path: "p", Reason: launch.ErrNotEnforced, Detail: "d", Err: syscall.EPERM},
		&launch.StartError{Op: "limit", Path: "p", Reason: launch.ErrNotEnforced},
	} {
		got := refusal(err).err("p")
		if got.Error() != err.Error() {
			t.Errorf("got %q, want %q", got, err)
		}
		for _, target := range []error{syscall.ENOENT, syscall.EMFILE, syscall.EPERM, launch.ErrNotEnforced} {
			if errors.Is(got, target) != errors.Is(err, target) {
				t.Errorf("%v: is %v: %v", err, target, errors.Is(got, target))
			}
		}
	}
}

func TestReport(t *testing.T) {
	at := time.Unix(5, 6)
	for _, end := range []tree.End{{Code: 3}, {Signal: 9, Core: true}, {Err: errors.New("unknown")}} {
		got := report(end, at, 1, 2)
		if e := got.end(); !reflect.DeepEqual(e.Exit(), end.Exit()) || !time.Unix(0, got.At).Equal(at) || got.Swept != 1 || got.Survivors != 2 {
			t.Errorf("got %+v, want %+v", got, end)
		}
	}
}

// FuzzDecode feeds both decoders with anything: what they accept they encode
// again to something that means the same.
func FuzzDecode(f *testing.F) {
	for _, r := range requests() {
		b, _ := appendFrame(nil, r, filesOf(r))
		f.Add(b)
	}
	for _, e := range events() {
		b, _ := appendFrame(nil, e, filesOf(e))
		f.Add(b)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0})
	f.Add([]byte{0, 0, 0, 1, 4, 0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, rest, need, err := cutFrame(b)
		if err != nil || need > 0 {
			if err == nil && need <= len(b) {
				t.Errorf("%d bytes are needed, %d are there", need, len(b))
			}
			return
		}
		if len(frame.body)+headLen+len(rest) != len(b) {
			t.Errorf("%d and %d bytes of %d", len(frame.body), len(rest), len(b))
		}
		again(t, frame, decode[request])
		again(t, frame, decode[event])
	})
}

func again[M request | event](t *testing.T, f frame, decode func(frame) (M, error)) {
	m, err := decode(f)
	if err != nil {
		return
	}
	b, err := appendFrame(nil, m, f.files)
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	f2, _, _, err := cutFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	if m2, err := decode(f2); err != nil || !reflect.DeepEqual(m2, m) {
		t.Errorf("got %+v, %v, want %+v", m2, err, m)
	}
}
