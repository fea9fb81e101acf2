package main

import (
	"fmt"
	"math"
)

// subject is one race: contenders that carry the same thing, measured in turns.
type subject struct {
	title   string
	note    string // what a reader of its table has to know
	shape   shape
	names   []string // of the contenders, in order; the first is the base of the ratios
	pinned  bool     // all processes on one CPU
	measure measure
	main    []metric // shown with their spread, and with their ratio to the base
	aside   []metric // shown as medians
	goals   []goal
}

// goal is what ours is to reach. It is about a median: of the metric, or of its
// ratio to the base.
type goal struct {
	Contender string  `json:"contender"`
	Metric    metric  `json:"metric"`
	OfBase    bool    `json:"ofBase"`
	AtMost    bool    `json:"atMost"` // otherwise at least
	Value     float64 `json:"value"`
}

// met reports whether got reaches the goal. Allocations are whole objects:
// what is less than a twentieth of one belongs to a batch, not to a message.
func (g goal) met(got float64) bool {
	if g.Metric == nearAllocs || g.Metric == farAllocs {
		got = math.Round(got*10) / 10
	}
	if g.AtMost {
		return got <= g.Value
	}
	return got >= g.Value
}

func (g goal) String() string {
	bound, value := "at least", g.Metric.format(g.Value)
	if g.AtMost {
		bound = "at most"
	}
	if g.OfBase {
		value = fmt.Sprintf("%.2fx the base", g.Value)
	}
	return fmt.Sprintf("%s %s %s", g.Metric.label(), bound, value)
}

// tlsFactor is how much slower than bare crypto/tls ours may be.
const tlsFactor = 1.3

// subjects returns all races, in the order of the table.
func subjects() []subject {
	all := []subject{localSubject()}
	for _, network := range []string{"unix", "tcp", "tls"} {
		for _, size := range []int{64, 1 << 10} {
			all = append(all, smallSubject(network, size))
		}
		for _, size := range []int{64 << 10, 1 << 20} {
			all = append(all, largeSubject(network, size))
		}
		if network == "unix" {
			all = append(all, hugeSubject())
		}
		all = append(all, callSubject(network))
	}
	return all
}

func localSubject() subject {
	return subject{
		title: "one-way 64 B within a process", shape: shape{Network: "local", Size: 64},
		names: []string{chanName, localName}, measure: oneWay,
		main: []metric{messageRate}, aside: []metric{nearAllocs},
		goals: []goal{{Contender: localName, Metric: nearAllocs, AtMost: true}},
	}
}

func smallSubject(network string, size int) subject {
	s := subject{
		title: fmt.Sprintf("one-way %s over %s", byteSize(size), network), shape: shape{Network: network, Size: size},
		names:   []string{batchedName, bareName, "gRPC stream", "NATS", "net/rpc", sessionName, oursName},
		measure: oneWay,
		main:    []metric{messageRate}, aside: []metric{nearAllocs, farAllocs, nearCPU, farCPU},
	}
	rate := goal{Contender: oursName, Metric: messageRate, Value: 3e6}
	if size > 64 {
		rate.Value = 1.2e6
	}
	if network == "tls" {
		rate.OfBase, rate.Value = true, 1/tlsFactor
	}
	s.goals = []goal{
		rate,
		{Contender: oursName, Metric: nearAllocs, AtMost: true, Value: 2},
		{Contender: oursName, Metric: farAllocs, AtMost: true, Value: 2},
	}
	return s
}

func largeSubject(network string, size int) subject {
	share := 0.75
	if network == "tls" {
		share = 1 / tlsFactor
	}
	return subject{
		title: fmt.Sprintf("one-way %s over %s", byteSize(size), network), shape: shape{Network: network, Size: size},
		names:   []string{bareName, "gRPC stream", "NATS", "net/rpc", sessionName, oursName, bulkName},
		measure: oneWay,
		main:    []metric{byteRate}, aside: []metric{nearAllocs, farAllocs, nearCPU, farCPU},
		goals: []goal{{Contender: bulkName, Metric: byteRate, OfBase: true, Value: share}},
	}
}

// hugeSubject is about 16 MiB: by default that is the limit of an envelope with
// all it has, so the body is a little smaller.
func hugeSubject() subject {
	return subject{
		title: "one-way 16 MiB on one host", note: "1 KiB less than that, so that it fits a frame with its envelope. The base is one copy within a process.",
		shape: shape{Network: "unix", Size: 16<<20 - 1024},
		names: []string{memcpyName, bareName, "net/rpc", sessionName, oursName, bulkName}, measure: oneWay,
		main: []metric{byteRate}, aside: []metric{nearAllocs, farAllocs, nearCPU, farCPU},
		goals: []goal{{Contender: bulkName, Metric: byteRate, OfBase: true, Value: 0.5}},
	}
}

func callSubject(network string) subject {
	factor := 1.5
	if network == "tls" {
		factor = tlsFactor
	}
	return subject{
		title: fmt.Sprintf("call 64 B over %s, all on one CPU", network), shape: shape{Network: network, Size: 64, Calls: true},
		names:  []string{bareName, "net/rpc", "gRPC unary", "gRPC stream", "NATS", sessionName, oursName},
		pinned: true, measure: roundTrips,
		main: []metric{p50, p99}, aside: []metric{nearAllocs, farAllocs, nearCPU, farCPU},
		goals: []goal{
			{Contender: oursName, Metric: p50, OfBase: true, AtMost: true, Value: factor},
			{Contender: oursName, Metric: p99, OfBase: true, AtMost: true, Value: factor},
		},
	}
}
