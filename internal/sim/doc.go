// Package sim simulates several programs that send each other messages: real
// gateways, sessions, procs and actors over a network in memory, in time that
// does not pass by itself, while connections break, links stall, nodes stop and
// restart and actors end. A seed decides what is sent and what happens. At the
// end every message must have had one outcome, a true one, in order.
//
// All of it is tests:
//
//	go test ./internal/sim                           # the directed ones and 1,000 seeds
//	go test ./internal/sim -run Seeds -v -seed 17    # one seed, told in full
//	go test ./internal/sim -run Seeds -v -first 1001 -seeds 1000000 -timeout 0
//	go test ./internal/sim -run Seeds -v -for 1h -timeout 0
//
// The seed fixes the plan: who sends what and when, and which fault begins and
// ends when. Which goroutine goes first is still up to the Go scheduler, so a
// failure that depends on it takes a seed several times (-count).
package sim
