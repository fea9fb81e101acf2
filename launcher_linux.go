package hyperactor

import (
	"fmt"
	"path/filepath"

	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/keeper"
	"github.com/hyperactor/hyperactor/launch/native"
)

// newLauncher returns what starts the child processes (PS-1).
func newLauncher(cfg Config, mark, dir string) (launch.Launcher, error) {
	if cfg.Keeper == NoKeeper {
		if cfg.Isolate != keeper.NoIsolation {
			return nil, fmt.Errorf("Config.Isolate needs a keeper, and Config.Keeper says that there is none")
		}
		return native.New(native.Config{Log: cfg.Log}), nil
	}
	return keeper.New(keeper.Config{
		Log: cfg.Log, Isolate: cfg.Isolate, Env: []string{host.Marker(mark)}, Records: filepath.Join(dir, "exits"), Remove: dir,
	}), nil
}
