package keeper

import (
	"testing"

	"github.com/hyperactor/hyperactor/launch/launchtest"
)

func BenchmarkRealKillToWait(b *testing.B) {
	b.Run("cgroups", func(b *testing.B) { launchtest.BenchKillToWait(b, newLauncher()) })
	b.Run("plain", func(b *testing.B) { launchtest.BenchKillToWait(b, newPlainLauncher()) })
}

func BenchmarkRealStart(b *testing.B) {
	b.Run("cgroups", func(b *testing.B) { launchtest.BenchStart(b, newLauncher()) })
	b.Run("plain", func(b *testing.B) { launchtest.BenchStart(b, newPlainLauncher()) })
}
