// Package restart decides when something that has ended is started again, and
// when it is given up (AC-6). The same Limits serve actors, procs and hosts.
//
// Everything here is pure: a Policy is a function of the runs so far, a Bucket
// one of the time. Whoever supervises has the clock, the timers and the dice.
package restart
