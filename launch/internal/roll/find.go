package roll

import (
	"context"

	"github.com/hyperactor/hyperactor/launch"
)

// find resolves spec and looks where its program lies, for as long as ctx lets
// it: a file system that does not answer may be in the way. Who looks is left
// alone then, with a thread, until the kernel lets it go.
func find(ctx context.Context, spec launch.Spec) (launch.Program, error) {
	if spec.Path == launch.Self && spec.Dir == "" {
		return spec.Resolve() // we are in both
	}
	type result struct {
		prog launch.Program
		err  error
	}
	found := make(chan result, 1)
	go func() {
		prog, err := spec.Resolve()
		if err == nil {
			prog.Remote = remote(spec.Dir, prog.Path)
		}
		found <- result{prog, err}
	}()
	select {
	case r := <-found:
		return r.prog, r.err
	case <-ctx.Done():
		return launch.Program{}, &launch.StartError{Op: "find", Path: spec.Path, Err: context.Cause(ctx)}
	}
}
