package channel

import "time"

// RingAt does what is due at now.
func (s *Session) RingAt(now time.Time) { s.ring(now) }
