package native

import (
	"testing"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/launchtest"
)

func newLauncher() launch.Launcher { return New(Config{}) }

// newOldLauncher behaves as on a kernel that cannot signal the group of a pidfd.
func newOldLauncher() launch.Launcher { return New(Config{withoutGroupSignal: true}) }

func TestMain(m *testing.M) { launchtest.Main(m, newLauncher) }

func TestRealContract(t *testing.T) { launchtest.Run(t, newLauncher) }

func TestRealContractOnOldKernel(t *testing.T) { launchtest.Run(t, newOldLauncher) }

func newPlainLauncher() launch.Launcher { return New(Config{withoutCgroups: true}) }

func TestRealContractWithoutCgroups(t *testing.T) { launchtest.Run(t, newPlainLauncher) }

// newRemoteLauncher takes the hop to every program.
func newRemoteLauncher() launch.Launcher { return New(Config{remote: true}) }

func TestRealContractRemote(t *testing.T) { launchtest.Run(t, newRemoteLauncher) }
