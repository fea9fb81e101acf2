// Package probe finds out whether a command that knows nothing of us is ready,
// and later whether it still works (PS-11). It links regular expressions and
// plain sockets; the clients of HTTP and gRPC are in packages of their own
// below this one, linked by the program that asks for them.
//
// There are two kinds of probe. Some ask: a Check is one question, such as a
// TCP connect or a command, and Asked puts it again and again. The others are
// told: a Log is fed with the lines of output, a Notify listens on the socket
// that sd_notify(3) writes to. All of them answer the same two questions:
//
//	AwaitReady(ctx)    returns nil when it is ready, or a *NotReadyError when ctx is over (Asked, Log, Notify)
//	AwaitFailure(ctx)  returns a *FailedError when it has failed, or the cause of ctx when that is over (Asked, Notify)
//
// Whoever runs a command
//
//   - makes its probes: those that ask once, those that are told anew for every
//     process, before it starts, with Notify.Env in its environment and Log.Line
//     called by its launch.Spec.Output;
//   - calls AwaitReady in the Connect of its body, whose ctx has the time to
//     become ready in it, and is ready when that returns nil. KindProcess has
//     nothing to wait for;
//   - calls AwaitFailure from then on, with a context that ends with the
//     process. A *FailedError is a cause that leads to a stop (PH-9), and after
//     the exit the restart policy decides;
//   - closes what has a Close after both have returned.
//
// A miss is not always the fault of who is asked. A try that got no answer in
// time counts only if the prober itself was on time, as measured on its own
// timers, and time is stretched for as long as it is late. Neither does a miss
// count while the process is stopped, traced or frozen, which is a state and
// not a failure, or if our side had no descriptors or memory left to ask.
package probe
