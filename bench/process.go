package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// peer is a contender whose far side is this program, started once more.
type peer struct {
	bench    *bench // whose directory the sockets are in; set where it is used
	label    string
	networks []string
	only     func(s shape) bool // what else it cannot carry; nil: it can carry all

	// serve listens and hands what comes to m, in the far process and until its end.
	serve func(at place, m *meter) (address string, err error)

	// dial connects, in the near process. ctx bounds the life of the carrier.
	dial func(ctx context.Context, at place, address string) (carrier, error)
}

// place is what both sides of a peer know.
type place struct {
	shape
	Dir    string `json:"dir"`    // for sockets
	Serial int    `json:"serial"` // of the connection, when one far side gets several
}

// farVariable is the variable of the environment that makes a process a far
// side: a label and a place.
const farVariable = "HYPER_BENCH_FAR"

type farSpec struct {
	Label string `json:"label"`
	Place place  `json:"place"`
}

// order is what the near process asks of the far one, a line of JSON on its
// stdin; answer is a line on its stdout.
type order struct {
	Expect   *int          `json:"expect,omitempty"`
	Await    *int64        `json:"await,omitempty"`
	Patience time.Duration `json:"patience,omitempty"`
	Usage    bool          `json:"usage,omitempty"`
	Settled  bool          `json:"settled,omitempty"`
	Profile  *string       `json:"profile,omitempty"`
}

type answer struct {
	Address string `json:"address,omitempty"` // the first answer has it, before any order
	Tally   tally  `json:"tally"`
	Usage   usage  `json:"usage"`
	Error   string `json:"error,omitempty"`
}

// serveFar is the far process of a peer. It ends when its stdin does.
func serveFar(spec string, in io.Reader, out io.Writer) error {
	var s farSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return fmt.Errorf("%s: %w", farVariable, err)
	}
	m := newMeter()
	for _, p := range peers() {
		if p.label == s.Label {
			address, err := p.serve(s.Place, m)
			return obey(m, address, err, json.NewDecoder(in), json.NewEncoder(out))
		}
	}
	return fmt.Errorf("%s: no contender is called %q", farVariable, s.Label)
}

// obey says where the far side listens, or why not, and answers orders.
func obey(m *meter, address string, err error, in *json.Decoder, out *json.Encoder) error {
	if err != nil {
		return errors.Join(err, out.Encode(answer{Error: err.Error()}))
	}
	if err := out.Encode(answer{Address: address}); err != nil {
		return err
	}
	for {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(o.carryOut(m)); err != nil {
			return err
		}
	}
}

func (o order) carryOut(m *meter) (a answer) {
	switch {
	case o.Expect != nil:
		m.size.Store(int64(*o.Expect))
	case o.Await != nil:
		a.Tally = m.await(context.Background(), *o.Await, o.Patience)
	case o.Usage:
		a.Usage = usageNow(o.Settled)
	case o.Profile != nil:
		if err := m.profileTo(*o.Profile); err != nil {
			a.Error = err.Error()
		}
	}
	return a
}

func (p *peer) name() string { return p.label }

func (p *peer) carries(s shape) bool {
	for _, n := range p.networks {
		if n == s.Network {
			return p.only == nil || p.only(s)
		}
	}
	return false
}

func (p *peer) open(ctx context.Context, s shape) (*link, error) {
	at := place{shape: s, Dir: p.bench.dir}
	proc, address, err := startFar(p.label, at)
	if err != nil {
		return nil, fmt.Errorf("%s: far side: %w", p.label, err)
	}
	c, err := p.dial(ctx, at, address)
	if err != nil {
		proc.close()
		return nil, fmt.Errorf("%s: connect: %w", p.label, err)
	}
	return &link{carrier: c, far: proc}, nil
}

// farProcess is the far process as its parent sees it.
type farProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *json.Encoder
	in    *json.Decoder
}

// startFar starts a far process and returns the address at which it listens.
func startFar(label string, at place) (*farProcess, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	spec, err := json.Marshal(farSpec{label, at})
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), farVariable+"="+string(spec))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as a proc has one; see package bench
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	p := &farProcess{cmd: cmd, stdin: stdin, out: json.NewEncoder(stdin), in: json.NewDecoder(stdout)}
	first, err := p.answer()
	if err != nil {
		p.close()
		return nil, "", err
	}
	return p, first.Address, nil
}

func (p *farProcess) ask(o order) (answer, error) {
	if err := p.out.Encode(o); err != nil {
		return answer{}, fmt.Errorf("far process: %w", err)
	}
	return p.answer()
}

func (p *farProcess) answer() (a answer, err error) {
	if err := p.in.Decode(&a); err != nil {
		return a, fmt.Errorf("far process: %w", err)
	}
	if a.Error != "" {
		err = errors.New(a.Error)
	}
	return a, err
}

func (p *farProcess) expect(_ context.Context, size int) error {
	_, err := p.ask(order{Expect: &size})
	return err
}

func (p *farProcess) await(_ context.Context, n int64, patience time.Duration) (tally, error) {
	a, err := p.ask(order{Await: &n, Patience: patience})
	return a.Tally, err
}

func (p *farProcess) usage(_ context.Context, settled bool) (usage, error) {
	a, err := p.ask(order{Usage: true, Settled: settled})
	return a.Usage, err
}

func (p *farProcess) profile(_ context.Context, path string) error {
	_, err := p.ask(order{Profile: &path})
	return err
}

// close ends the process by the end of its stdin.
func (p *farProcess) close() error {
	p.stdin.Close()
	return p.cmd.Wait()
}
