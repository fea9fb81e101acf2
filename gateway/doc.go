// Package gateway routes envelopes between the procs of this process and
// everything outside it: over the sessions it has, over new ones to addresses
// it knows, and to the rest through its uplink, which knows more.
package gateway
