// Package host spawns procs on one machine and follows each of them to its
// end.
//
// A manager (ProcManager) makes procs real; a handle (ProcHandle) follows one.
// What a manager knows of a proc is a Body with five methods; Follow makes the
// handle of it. Behind each handle one goroutine owns the proc: it is the only
// writer of its status, and lifecycle, a pure core, decides for it. A Roster
// keeps the names of the living procs and stops them all.
//
// A Supervisor keeps a named proc running: it starts the next incarnation when
// one has ended, as a restart.Policy decides. A Host
// owns the supervisors of the procs that it spawns.
//
// The contracts are named PH (the handle) and PM (managers and hosts); AC-6 is
// the one about restarts.
package host
