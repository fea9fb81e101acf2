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
//   - A call ends with the reply, the handler's error, such a reason, the loss of
//     the target's proc, or the end of ctx, whichever is first (MS-4).
//   - Mailboxes are bounded. A full one makes its senders wait, in other procs
//     too, and nobody else (MS-7).
//   - An error goes to whoever waits for it. If nobody does, or if the handler
//     panics, the actor fails: its supervisor gets a Failure (AC-5, AC-8). One
//     that nobody handles reaches the agent and then Config.OnFailure (AC-9).
//   - Children end before their parent is cleaned up (AC-4). A handler that
//     ignores the end of its ctx past the bound is abandoned and reported with
//     its stack (AC-3): Go cannot end it, and nobody pretends that it ended.
//   - An idle actor has no goroutine and costs under 400 bytes (AC-12).
//
// # What is not
//
//   - Messages of different senders have no order among each other.
//   - When the connection between two procs breaks, messages that the other side
//     had not acknowledged come back as ErrPeerGone although some may have been
//     handled; what it had acknowledged and not handled when it died is lost with
//     it. Sessions do not resume yet.
//   - A peer that is silent, such as a stopped process, is not detected: calls to
//     it end with their ctx.
//   - Within a proc a request is passed as it is, not copied: do not change what
//     it points to after sending. Between procs it is encoded as CBOR.
//   - Restarting a failed actor is up to its supervisor, in ChildEnded.
package actor
