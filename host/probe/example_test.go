package probe_test

import (
	"context"
	"fmt"
	"time"

	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/launch"
)

// A program makes the probe that a Spec names.
func ExampleParse() {
	spec, err := probe.Parse("log=listening on :[0-9]+")
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := probe.NewLog(spec.Arg)
	if err != nil {
		fmt.Println(err)
		return
	}
	log.Line(launch.Stderr, []byte("now listening on :8080"))
	fmt.Println(spec.Kind, log.AwaitReady(context.Background()))

	_, err = probe.Parse("tcp=8080")
	fmt.Println(err)
	// Output:
	// log <nil>
	// probe "tcp=8080": "8080" is no address; write tcp=HOST:PORT, tcp=:PORT for this machine
}

// broken is a Check of one's own.
type broken struct{}

func (broken) Check(context.Context) error { return fmt.Errorf("no disk") }
func (broken) String() string              { return "disk" }

func ExampleAsked() {
	live := probe.Asked{Check: broken{}, Config: probe.Config{Interval: time.Millisecond, Failures: 2}}
	fmt.Println(live.AwaitFailure(context.Background()))
	// Output: disk: 2 misses in a row: no disk
}
