package mtls

import "time"

// At returns procs that go by a clock.
func (p Procs) At(clock func() time.Time) Procs {
	p.clock = clock
	return p
}
