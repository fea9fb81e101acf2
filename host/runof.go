package host

import (
	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/restart"
)

// runOf returns the run that ended with e, as the restart policy sees it.
func runOf(e Exit) restart.Run {
	r := restart.Run{Started: e.Started, Ready: e.Ready, Ended: e.Ended}
	switch {
	case e.Requested != (launch.Request{}):
		r.How = restart.AskedFor
	case e.OK() && e.Cause == "": // a proc that had to be stopped has failed, however well it obeyed
		r.How = restart.Succeeded
	}
	return r
}
