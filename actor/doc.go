// Package actor runs typed actors.
//
// An actor is a plain Go value; its messages are its methods; On gives a
// method the name that it has on the wire. The protocol of an actor is one var
// block:
//
//	var (
//		Add   = actor.On("counter.add", (*Counter).Add)         // request and reply
//		Watch = actor.OnSend("counter.watch", (*Counter).Watch) // one way
//
//		Type = actor.Define("counter", New, Add, Watch)
//	)
//
//	ref, err := Type.Spawn(ctx, proc, "c1", Params{Start: 40}) // in any proc
//	n, err := Add.Call(ctx, ref, 2)                            // 42, or an error that says why
//	err = Add.Send(ctx, ref, 1)                                // one way
//
// A protocol apart from its implementation is an interface, through the same
// On: On("host.spawn", Host.Spawn). A wrong actor, request, reply or spawn
// parameter does not compile.
//
// # Who sends
//
// A ref is data; who sends comes from ctx. The ctx of a handler has it, and
// Proc.Context puts it there elsewhere. It is what order is kept by, and where
// messages go back to that were not handled.
//
// # What is guaranteed
//
//   - One handler of an actor runs at a time. It is made before it gets any
//     message. Stops, ends of children, timers and returned messages come before
//     the messages of users (AC-1).
//   - The messages of one sender to one actor are handled in the order sent,
//     each at most once (MS-1).
//   - A message that was accepted is handled, or its sender is told why not, with
//     one of a closed set of reasons (MS-3): the caller in its error, the
//     sending actor by its Undeliverable method, others by the proc's hook.
//   - Sessions between processes outlive their connections, for two minutes unless
//     gateway.Timing says otherwise: what was sent before and during the break is handled
//     once and in order. A peer that has been started again, or stays away, has
//     lost the session. Each message that it had not acknowledged comes back then,
//     as ErrPeerGone; one that had begun its way also as ErrInDoubt: perhaps it
//     was handled (MS-5). What comes back without ErrInDoubt was not.
//   - A call ends with the reply, the handler's error, such a reason, the loss of
//     the target's proc, or the end of ctx, whichever is first (MS-4). It is in
//     doubt if it was sent and its proc was lost, or if its handler had begun and
//     the actor failed or ended. Who ends its own ctx does not learn more.
//   - A peer that is silent is found out in about five seconds while somebody waits
//     for it, and it loses nothing if it comes back in time (MS-11). On one
//     machine only the end of a process, not its silence, ends a session.
//   - Mailboxes are bounded. A full one makes its senders wait, in other procs
//     too, and nobody else (MS-7). One that drops the oldest message never does.
//   - A process that takes nothing, because it is stopped or far behind, holds up
//     those who send to it, and not those who answer it: what it is owed waits for
//     it (see below).
//   - An error goes to whoever waits for it. If nobody does, or if the handler
//     panics, the actor fails: its supervisor gets a Failure (AC-5, AC-8). One
//     that nobody handles reaches the agent and then Config.OnFailure (AC-9).
//   - Children end before their parent is cleaned up (AC-4). A handler that
//     ignores the end of its ctx past the bound is abandoned and reported with
//     its stack (AC-3): Go cannot end it, and nobody pretends that it ended.
//   - Who watches an actor (Watch, WaitFor) is told of its end once, with the
//     reason, wherever it is: also when it was gone already, when its proc or the
//     way there is lost, and not after Monitor.Stop. What the actor sent before
//     is handled before that (AC-10). Whoever watches the agent of a proc watches
//     the proc. Two that are linked (Link) fail together.
//   - A supervisor whose type has Restarts (Type.WithRestarts) restarts children
//     that fail: alone, all of them, or those spawned later, after a delay that
//     grows, and not for ever (AC-6). A restarted actor keeps its ref and what
//     waits for it; its Incarnation changes, which End, Failure, ActorStatus and
//     SelfOf say (AC-7).
//   - An idle actor has no goroutine and costs under 400 bytes (AC-12).
//
// # What can be seen
//
// Config.Observe is told when messages are sent, delivered, handled and
// returned, and when actors fail. A ctx may carry a W3C trace (ContextWithTrace,
// TraceFrom): what is sent, called, spawned or timed with it carries it on, to
// other procs too, and each handler has a span of its own in it. LogObserver
// and TraceHandler do for log/slog what the example of Observer does for a
// tracer. Messages that nobody looks at cost nothing.
//
// # What is not
//
//   - Messages of different senders have no order among each other.
//   - Acknowledged means in the mailbox, not handled: a Send that waits in a mailbox
//     when its process dies is lost with it, and its sender does not hear of it. A
//     call does; others who must know watch the actor.
//   - A Send that was not handled may come back twice if a session is lost: for
//     its reason, over another session, and in doubt. To tell the two apart, it
//     would need a number that its sender remembers.
//   - Messages that come back are not sent again by anybody but their sender.
//   - What a proc owes to another one that does not take it is bounded: by 65,536
//     answers, returned messages and pauses, beyond the queue of its session. More
//     returned messages are dropped and counted (ProcStatus.Lost), so that their
//     senders do not hear of them, and their calls wait for the end of the session.
//     Of answers up to 64 MiB are kept, or one that is larger: an actor with more of
//     them waits, until it has to stop. The end of a proc waits half a second for
//     them to be taken, or up to StopBound after a drain.
//   - Actors that call each other in a circle wait until a ctx ends, for ever if
//     none does: while an actor waits in a Call it handles nothing. An actor
//     that calls itself is told (ErrSelfCall). Send, OnDefer or a goroutine that
//     sends the outcome back break a circle.
//   - Within a proc a request is passed as it is, not copied: do not change what
//     it points to after sending. Between procs it is encoded as CBOR, but a
//     []byte that is large and all of the request is not copied there either.
//   - A Down that says ErrPeerGone or ErrNoRoute does not say that the actor has
//     ended: it may live on behind a broken network. The Down of a process that
//     has ended by itself tells what its agent said, and has the Exit only if
//     the agent could not say anything any more.
//   - The message that an actor failed with is not handled again, and what its
//     value knew is gone with the run. So are its timers, watches, links and
//     deferred replies; those who watch it are not told. The bound on restarts
//     per second is one of each proc.
//   - A proc that is restarted by its host has a new id and none of the actors that
//     were in the old one: refs to those are stale, and who needs them spawns them
//     again.
//   - An actor that belongs to the agent is not restarted, nor one that was
//     abandoned: it may still run.
package actor
