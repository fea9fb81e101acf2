// Package wire says what crosses a connection: the hello that opens it, the
// frames that follow, the envelope inside a frame and the CBOR of a body.
// It does no I/O: package channel does.
package wire
