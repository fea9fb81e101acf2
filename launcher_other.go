//go:build !linux

package hyperactor

import (
	"fmt"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/keeper"
	"github.com/hyperactor/hyperactor/launch/native"
)

// newLauncher returns what starts the child processes: there is no keeper here.
func newLauncher(cfg Config, _, _ string) (launch.Launcher, error) {
	if cfg.Isolate != keeper.NoIsolation {
		return nil, fmt.Errorf("Config.Isolate works on linux only")
	}
	return native.New(native.Config{Log: cfg.Log}), nil
}
