// Package channel carries envelopes to one peer, in order: a Transport makes
// connections, a Session uses one after the other. It numbers what it sends and
// keeps it until the peer has acknowledged it, so that after a break the peer
// gets what it lacks, once, over the next connection; and if there is none,
// everybody can be told what did not arrive for sure. A Hub is what the sessions
// of one process share.
//
// It is the only package that opens sockets for messages.
//
// Where to find what:
//
//	session      Session: Send, Close, and what its lock guards
//	dial, accept how a session begins and is continued; handshake is what both have of it
//	run          Run: one connection after the other, and the end
//	reader       frames that come in; writer: batches that go out, and alarms
//	line         one connection
//	hub          one timer and the buffers of all sessions; buffers: the large ones
//	config       what can be chosen; errors
//	transport    unix and tcp sockets, and others; attempt: to write without blocking
//	memory       memory shared with a peer on the same machine; its books are in internal/shm
//	bulkin       large messages that come in; bulkout: that go out
//
// The loops decide little. These know neither connections nor time, only what
// they are told, and Session's lock or the goroutine of Run guards them:
//
//	outbound   frames that are not acknowledged; outboundbulk: those of large messages
//	inbound    which frame is new
//	flows      numbers in place of names, on both sides
//	departures large messages that go out, in chunks
//	arrivals   large messages that come in
//	vigil      whether the peer lives, and whether anybody needs the session
package channel
