package channel

import (
	"fmt"
	"strings"
)

// Addr is where a peer listens: the transport's name, a colon, and an address
// that this transport understands.
//
//	unix:/run/user/1000/hyper-3f2a/worker.sock
//	tcp:127.0.0.1:7000
//	mem:worker
type Addr string

// ParseAddr checks that s has the form transport:address.
func ParseAddr(s string) (Addr, error) {
	network, address, ok := strings.Cut(s, ":")
	if !ok || network == "" || address == "" {
		return "", fmt.Errorf("address %q: want transport:address, for example unix:/tmp/a.sock or tcp:127.0.0.1:7000", s)
	}
	return Addr(s), nil
}

// Network returns the name of the transport.
func (a Addr) Network() string {
	n, _, _ := strings.Cut(string(a), ":")
	return n
}

// Address returns what follows the name of the transport.
func (a Addr) Address() string {
	_, s, _ := strings.Cut(string(a), ":")
	return s
}
