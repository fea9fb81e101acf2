//go:build !linux

package probe

import (
	"errors"
	"fmt"
)

// notifySocket does not exist where the kernel does not say who has sent a
// message.
type notifySocket struct{ name string }

// NewNotify returns an errors.ErrUnsupported.
func NewNotify(NotifyConfig) (*Notify, error) {
	return nil, fmt.Errorf("probe notify: only linux says who has sent a message; use another probe: %w", errors.ErrUnsupported)
}

func (s *notifySocket) catchUp() {}

// Close does nothing: there is no Notify.
func (n *Notify) Close() error { return nil }
