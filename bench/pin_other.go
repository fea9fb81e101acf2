//go:build !linux

package main

import (
	"errors"
	"fmt"
)

// pin is for linux.
func pin() (undo func() error, err error) {
	return nil, fmt.Errorf("keep processes on one CPU: %w", errors.ErrUnsupported)
}
