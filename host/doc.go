// Package host spawns procs on one machine and follows each of them to its
// end.
//
// A manager (ProcManager) makes procs real; a handle (ProcHandle) follows one.
// What a manager knows of a proc is a Body with five methods; Follow makes the
// handle of it. Behind each handle one goroutine owns the proc: it is the only
// writer of its status, and lifecycle, a pure core, decides for it. A Roster
// keeps the names of the living procs and stops them all.
//
// The contracts are named PH (the handle) and PM (managers and hosts).
package host
