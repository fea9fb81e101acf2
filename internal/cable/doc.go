// Package cable is a network of hosts on one machine for tests: every host is a
// network namespace with an address of its own, and this process is the wire
// between them, which can be bad in every way that wires are. Kernels, sockets
// and their timers are real; only the wire is not.
//
// README.md says what is tested with it, and where each fault of networks and
// protocols is tested, here or elsewhere; a test keeps that list true.
package cable
