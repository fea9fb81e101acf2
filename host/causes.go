package host

import (
	"errors"

	"github.com/hyperactor/hyperactor/id"
	"github.com/hyperactor/hyperactor/wire"
)

// Causes takes an *ExitedError over the wire, so that a call to a proc that has
// ended ends with its Exit wherever the caller is (MS-4). It is the Causes of a
// gateway. Times lose their monotonic part on the way.
type Causes struct{}

// exitedCode is the wire's name for an *ExitedError.
const exitedCode = "host.exited"

// wireExited is an ExitedError on the wire.
type wireExited struct {
	ID   id.Proc
	Exit Exit
	Err  string `cbor:",omitempty"`
}

// Encode implements gateway.Causes.
func (Causes) Encode(cause error) (code string, body []byte, ok bool) {
	e, ok := errors.AsType[*ExitedError](cause)
	if !ok {
		return "", nil, false
	}
	x := wireExited{ID: e.ID, Exit: e.Exit}
	if e.Err != nil {
		x.Err = e.Err.Error()
	}
	body, err := wire.Marshal(x)
	return exitedCode, body, err == nil
}

// Decode implements gateway.Causes.
func (Causes) Decode(code string, body []byte) (error, error) {
	if code != exitedCode {
		return nil, errors.New("unknown cause " + code)
	}
	var x wireExited
	if err := wire.Unmarshal(body, &x); err != nil {
		return nil, err
	}
	e := &ExitedError{ID: x.ID, Exit: x.Exit}
	if x.Err != "" {
		e.Err = errors.New(x.Err)
	}
	return e, nil
}
