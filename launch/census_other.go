//go:build !linux

package launch

import "errors"

// Census is not supported on this system.
func Census(string) ([]int, error) { return nil, errors.ErrUnsupported }

// Children is not supported on this system.
func Children() ([]int, error) { return nil, errors.ErrUnsupported }
