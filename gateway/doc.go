// Package gateway routes envelopes between the procs of this process and
// everything outside it: over the sessions it has, over new ones to addresses
// it knows, and to the rest through its uplink, which knows more. It delivers
// only what is addressed to its own procs; what it passes on for others loses a
// hop, never goes back to where it came from, and comes back as a Return if it
// cannot go on (MS-12, MS-13).
package gateway
