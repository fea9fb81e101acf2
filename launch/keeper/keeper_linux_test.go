package keeper

import (
	"os"
	"strings"
	"testing"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/launchtest"
)

func newLauncher() launch.Launcher { return New(Config{}) }

// newOldLauncher behaves as on a kernel that cannot signal the group of a pidfd.
func newOldLauncher() launch.Launcher { return New(Config{withoutGroupSignal: true}) }

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(hostEnv)); len(words) > 0 {
		playHost(words[0], words[1:])
	}
	if where := os.Getenv(siblingEnv); where != "" {
		playParent(where == "session")
	}
	launchtest.Main(m, newLauncher)
}

func TestRealContract(t *testing.T) { launchtest.Run(t, newLauncher) }

func newPlainLauncher() launch.Launcher { return New(Config{withoutCgroups: true}) }

func TestRealContractWithoutCgroups(t *testing.T) { launchtest.Run(t, newPlainLauncher) }

func TestRealContractOnOldKernel(t *testing.T) { launchtest.Run(t, newOldLauncher) }
