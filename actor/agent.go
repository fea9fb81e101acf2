package actor

// Agent is what every proc's agent understands.
type Agent interface{}
