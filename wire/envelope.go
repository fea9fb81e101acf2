package wire

import "github.com/hyperactor/hyperactor/id"

// Envelope is one message between two procs: who sent it, who it is for, and
// a body that only the two ends understand. Gateways read the rest.
type Envelope struct {
	Kind   Kind
	TTL    uint8  // hops between processes that are left (MS-12)
	Reason Reason // why, in a Return; zero otherwise
	Call   uint64 // pairs a Call with its Reply or Return; zero in a Send
	To     id.Actor
	From   id.Actor
	Via    []id.Proc // source route: the procs whose gateways it passes, nearest first (MS-13)
	Method string
	Code   string // in a Reply: the handler's error code, "" means success; in a Return: whether it is in doubt
	Trace  *Trace // what this message is a part of; nil if nobody traces
	Body   []byte // CBOR of the request or reply; the text of an error or a detail otherwise
	Parts  []Bulk // bytes that travel beside the body, which names them by their order (MS-9)

	body *loan // what Body is in, if that is to be used again
	own  bool  // Body is memory of its own, which nobody else has
	lent bool  // Body will be used for something else, see Encoder
}

// DefaultTTL is the number of hops that a new envelope may take.
const DefaultTTL = 8

// Kind says what an envelope is for.
type Kind uint8

// The kinds. Send to Return travel between actors, the rest between gateways
// and procs.
//
// There is at most one Down for a Watch: it comes from the proc of the actor,
// or whoever watches makes it itself when the actor's proc is Gone (AC-10).
const (
	Send     Kind = iota + 1 // one way
	Call                     // wants a Reply
	Reply                    // answers a Call; Code and Body are the handler's
	Return                   // a Send or Call that was not handled, on its way back to its sender, with Reason
	Pause                    // From's mailbox is full: To's proc holds its sends to From back (MS-7)
	Resume                   // From takes messages again
	Resolve                  // asks a gateway where proc To.Proc is
	Resolved                 // answers: Body is the address, empty for "through me"; Reason NoRoute if there is none
	Gone                     // From.Proc has ended or cannot be reached any more; Code and Body say why
	Watch                    // From wants to be told of the end of the actor To; Call names the watch
	Unwatch                  // From does not want that any more
	Down                     // answers a Watch: From has ended; Reason, Code and Body say how
	Attach                   // From.Proc routes for all procs of its host, and wants to be known for that (MS-14)
	Attached                 // answers an Attach: Body says why not, if Reason is set
)

// Returns reports whether an envelope of this kind comes back, as a Return or
// a Down, when it cannot be delivered (MS-3).
func (k Kind) Returns() bool { return k == Send || k == Call || k == Watch }
