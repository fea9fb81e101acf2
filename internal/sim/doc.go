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
//
// There is no skew of clocks, because there is nothing to skew: no envelope and
// no frame carries a time of day. What travels is durations (how long a session
// waits, what is left of a budget to stop), and each side measures them by its own
// monotonic clock. Certificates have dates; those are tested where they are
// checked.
//
// Four things are not promised, and the simulation does not ask for them:
//
//   - A message that came back in doubt may come back for another reason, too.
//     Example: a sends to c, c's mailbox is full and c's way back leads through the
//     hub; the Return arrives, but the connection from a to c breaks for good before
//     the acknowledgement does. The session of a and c reports the message in doubt,
//     because nothing in a Return says which of several Sends of one method it is for.
//     That would take a number in every Send, and a memory of it at its sender.
//     Likewise what passes the hub may come back in doubt from two sessions that were
//     lost, one after the other.
//   - What passes a hub that is killed or closed, or the Return of it, may be lost
//     without an outcome, or be handled after what its sender sends later on another
//     way: the hub has acknowledged it, and what it has said last may be on a slow
//     line. Outcomes over several hops would take acknowledgements from end to end.
//     Calls and watches do end.
//   - What a proc that is stopped gives back may be lost without an outcome if the
//     next gateway takes nothing for half a second: a large message may be in front
//     of it on a slow line. The proc counts it (Proc.Lost).
//   - What passes the hub in the moment in which its session with the target ends,
//     because nobody has used it, comes back as not handled: it could wait for the
//     next session, but does not.
package sim
