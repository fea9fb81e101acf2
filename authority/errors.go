package authority

import "errors"

// What can be wrong with the certificate of a peer. The text around each says
// what was found.
var (
	ErrNone        = errors.New("no certificate")
	ErrName        = errors.New("the certificate has a name that is not ours")
	ErrAnother     = errors.New("the certificate is that of another")
	ErrFleet       = errors.New("the certificate is of another fleet")
	ErrUntrusted   = errors.New("the certificate does not come from the fleet's authority")
	ErrOtherHost   = errors.New("the certificate was issued by another host")
	ErrExpired     = errors.New("the certificate has expired")
	ErrNotYetValid = errors.New("the certificate is not valid yet")
)

// ErrExists is wrapped by the refusal to overwrite an authority, or what is left
// of one.
var ErrExists = errors.New("there is an authority already")
