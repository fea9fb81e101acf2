package host

import (
	"errors"
	"fmt"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

func TestCauses(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, want := range []*ExitedError{
		{ID: id.Proc{Host: "h", Name: "p", UID: 1}},
		{
			ID: id.Proc{Host: "h", Name: "p", UID: 1},
			Exit: Exit{
				Kind: launch.Killed, Signal: syscall.SIGSEGV, CoreDumped: true, OOMKilled: true, Phase: launch.PhaseRunning,
				Requested: launch.Request{By: "b", Why: "w", At: at, Kill: true}, Cause: "c", Started: at, Ready: at, Ended: at,
				Rusage: launch.Rusage{User: 1, System: 2, MaxRSS: 3}, Stderr: "last\nwords", Swept: 4, Cut: true, Abandoned: "a",
			},
			Err: errors.New("never ready"),
		},
	} {
		code, body, ok := Causes{}.Encode(fmt.Errorf("call: %w", want))
		if !ok {
			t.Fatal("not encoded")
		}
		got, err := Causes{}.Decode(code, body)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
	if _, _, ok := (Causes{}).Encode(errors.New("x")); ok {
		t.Error("a plain error was encoded")
	}
	if _, err := (Causes{}).Decode("x", nil); err == nil {
		t.Error("an unknown code was decoded")
	}
}

func FuzzCauses(f *testing.F) {
	code, body, _ := Causes{}.Encode(&ExitedError{Exit: Exit{Code: 1}})
	f.Add(code, body)
	f.Fuzz(func(t *testing.T, code string, body []byte) {
		cause, err := Causes{}.Decode(code, body)
		if (cause == nil) == (err == nil) {
			t.Errorf("got %v and %v", cause, err)
		}
	})
}
