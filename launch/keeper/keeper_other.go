//go:build !linux

package keeper

import (
	"context"
	"errors"

	"github.com/hyperactor/hyperactor/launch"
)

// Launcher is of no use on this system.
type Launcher struct{}

// New returns a launcher whose Launch fails.
func New(Config) *Launcher { return &Launcher{} }

// Launch fails with errors.ErrUnsupported.
func (*Launcher) Launch(_ context.Context, spec launch.Spec) (launch.Process, error) {
	return nil, &launch.StartError{Op: "start", Path: spec.Path, Err: errors.ErrUnsupported}
}

// Close does nothing.
func (*Launcher) Close() error { return nil }
