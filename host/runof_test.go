package host

import (
	"testing"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

func TestRunOf(t *testing.T) {
	for _, test := range []struct {
		exit Exit
		want restart.Ending
	}{
		{Exit{}, restart.Failed},
		{Exit{Kind: launch.Stopped}, restart.Succeeded},
		{Exit{Kind: launch.Stopped, Code: 1}, restart.Failed},
		{Exit{Kind: launch.Stopped, Cause: "did not answer its probe"}, restart.Failed},
		{Exit{Kind: launch.Failed}, restart.Failed},
		{Exit{Kind: launch.Killed, Signal: 9}, restart.Failed},
		{Exit{Kind: launch.Killed, Signal: 9, Requested: launch.Request{By: "a"}}, restart.AskedFor},
		{Exit{Kind: launch.Stopped, Requested: launch.Request{By: "a"}}, restart.AskedFor},
	} {
		if got := runOf(test.exit).How; got != test.want {
			t.Errorf("%v: got %v, want %v", test.exit, got, test.want)
		}
	}
}
