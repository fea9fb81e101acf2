package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

const versionUsage = `usage: hyper version

Prints the version, or the commit, that this program was built from, and with
which Go.
`

func runVersion(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprint(stdout, versionUsage)
		return exitOK
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if _, err := fmt.Fprintln(stdout, version(info)); err != nil {
		fmt.Fprintln(stderr, "hyper version:", err)
		return exitFailed
	}
	return exitOK
}

// version says which build info is of, as far as it is known: the version of the
// module, or the commit of a build in a checkout.
func version(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	v := "hyper " + cmp.Or(info.Main.Version, "(unknown version)")
	if commit := settings["vcs.revision"]; commit != "" {
		v += ", commit " + commit
		if settings["vcs.modified"] == "true" {
			v += " with changes"
		}
	}
	return fmt.Sprintf("%s, %s %s/%s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
