package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	set := func(kv ...string) (all []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			all = append(all, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return all
	}
	built := ", " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	for want, info := range map[string]debug.BuildInfo{
		"hyper (unknown version)":                {},
		"hyper v1.2.3":                           {Main: debug.Module{Version: "v1.2.3"}},
		"hyper (devel), commit abc":              {Main: debug.Module{Version: "(devel)"}, Settings: set("vcs.revision", "abc", "vcs.modified", "false")},
		"hyper (devel), commit abc with changes": {Main: debug.Module{Version: "(devel)"}, Settings: set("vcs.revision", "abc", "vcs.modified", "true")},
	} {
		if got := version(&info); got != want+built {
			t.Errorf("got %q, want %q", got, want+built)
		}
	}
}
