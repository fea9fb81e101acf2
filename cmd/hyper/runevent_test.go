package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/launch"
)

func TestEventRecord(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 1, 2, 3, 4, s, 500e6, time.UTC) }
	proc := id.Proc{Host: "h", Name: "web-1", UID: 0xab}
	for name, test := range map[string]struct {
		event host.Event
		want  string
	}{
		"starting": {host.Event{Time: at(0), Kind: host.EventStarting, Name: "web-1", Incarnation: 1},
			`{"time":"2026-01-02T03:04:00.5Z","proc":"","name":"web","rank":1,"incarnation":1,"event":"starting","pid":0,"exit":null}`},
		"unhealthy": {host.Event{Time: at(0), Kind: host.EventUnhealthy, Proc: proc, Incarnation: 2, PID: 7, Cause: "no <answer>", Missed: 3},
			`{"time":"2026-01-02T03:04:00.5Z","proc":"h/web-1~00000000000000ab","name":"web","rank":1,"incarnation":2,"event":"unhealthy","pid":7,"exit":null,` +
				`"cause":"no <answer>","missed":3}`},
		"restarting": {host.Event{Time: at(0), Kind: host.EventRestarting, Incarnation: 2, Delay: 250 * time.Millisecond, Cause: "c"},
			`{"time":"2026-01-02T03:04:00.5Z","proc":"","name":"web","rank":1,"incarnation":2,"event":"restarting","pid":0,"exit":null,"cause":"c","delay_seconds":0.25}`},
		"exited": {host.Event{Time: at(9), Kind: host.EventExited, Proc: proc, Incarnation: 1, PID: 7, Exit: launch.Exit{
			Kind: launch.Killed, Signal: 9, CoreDumped: true, OOMKilled: true, Phase: launch.PhaseStopping, Cause: "grace",
			Requested: launch.Request{By: "hyper run", Why: "SIGINT", At: at(3), Kill: true}, Started: at(1), Ended: at(4),
			Rusage: launch.Rusage{User: 1500 * time.Millisecond, System: time.Second, MaxRSS: 4096}, Stderr: "a\nb\xff", Swept: 2, Cut: true,
		}}, `{"time":"2026-01-02T03:04:09.5Z","proc":"h/web-1~00000000000000ab","name":"web","rank":1,"incarnation":1,"event":"exited","pid":7,` +
			`"exit":{"kind":"killed","code":0,"signal":9,"core_dumped":true,"oom_killed":true,"phase":"stopping",` +
			`"requested":{"by":"hyper run","why":"SIGINT","at":"2026-01-02T03:04:03.5Z","kill":true},"cause":"grace",` +
			`"started":"2026-01-02T03:04:01.5Z","ready":null,"ended":"2026-01-02T03:04:04.5Z",` +
			`"rusage":{"user_seconds":1.5,"system_seconds":1,"max_rss_bytes":4096},"stderr":"a\nb\ufffd","swept":2,"cut":true,"abandoned":""}}`},
	} {
		t.Run(name, func(t *testing.T) {
			line, err := recordOf("web", 1, test.event).line()
			if err != nil || !strings.HasSuffix(string(line), "}\n") || strings.Count(string(line), "\n") != 1 {
				t.Fatalf("%q, %v", line, err)
			}
			var got, want any
			if err := json.Unmarshal(line, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %swant %s", line, test.want)
			}
		})
	}
}

// TestExitRecordIsWhole sees that no field of an exit is left out.
func TestExitRecordIsWhole(t *testing.T) {
	record := reflect.TypeFor[exitRecord]()
	for f := range reflect.TypeFor[launch.Exit]().Fields() {
		if _, ok := record.FieldByName(f.Name); !ok {
			t.Errorf("launch.Exit has %s, which events do not tell", f.Name)
		}
	}
}
