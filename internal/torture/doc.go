// Package torture is a list of faults and what must hold under each of them. It
// has no code of its own: its tests do to launchers, to hosts and to their
// processes what can happen to them, with real processes, and count afterwards
// what is left. README.md says what is done and what has to hold, row by row; a
// test keeps it true.
package torture
