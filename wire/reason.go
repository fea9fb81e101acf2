package wire

// Reason says why a message was not handled (MS-3). The set is closed. A
// Reason is an error, so that errors.Is(err, wire.NoActor) works on whatever
// wraps one.
type Reason uint8

// The reasons, in the order of contract MS-3. Zero means that there is none.
const (
	NoActor Reason = iota + 1
	ActorStopped
	ActorFailed
	NoMethod
	Malformed
	TooLarge
	MailboxFull
	NoRoute
	PeerGone
	Expired
	ShuttingDown
)

// Error returns the reason in words.
func (r Reason) Error() string {
	switch r {
	case NoActor:
		return "no such actor"
	case ActorStopped:
		return "actor stopped"
	case ActorFailed:
		return "actor failed"
	case NoMethod:
		return "no such method"
	case Malformed:
		return "malformed message"
	case TooLarge:
		return "message too large"
	case MailboxFull:
		return "mailbox full"
	case NoRoute:
		return "no route"
	case PeerGone:
		return "peer gone"
	case Expired:
		return "expired"
	case ShuttingDown:
		return "shutting down"
	}
	return "no reason"
}

// Valid reports whether r is one of the reasons above.
func (r Reason) Valid() bool { return NoActor <= r && r <= ShuttingDown }
