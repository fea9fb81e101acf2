package wire

import "bytes"

// Encoder encodes one message after the other into the same memory, so that
// sending a small one costs no allocation. The zero Encoder is ready; it is for
// one goroutine at a time.
type Encoder struct{ buf bytes.Buffer }

// maxLent bounds what an Encoder keeps: a body that is larger has its own memory.
const maxLent = 16 << 10

// Encode sets the body and the parts of e to those of v, as MarshalParts does.
// The body may be lent: it is there until Encode is called again. Who has e
// longer than that calls KeepBody.
func (n *Encoder) Encode(e *Envelope, v any) (err error) {
	e.Forget()
	e.Body, e.Parts, err = marshalParts(v, func(v any) ([]byte, error) {
		body, err := n.marshal(v)
		e.lent = len(body) <= maxLent
		if !e.lent {
			n.buf = bytes.Buffer{}
		}
		return body, err
	})
	return err
}

// marshal is Marshal into the memory of n.
func (n *Encoder) marshal(v any) ([]byte, error) {
	n.buf.Reset()
	if b, ok := appendPlain(n.buf.AvailableBuffer(), v); ok {
		n.buf = *bytes.NewBuffer(b)
		return b, nil
	}
	if err := encMode().MarshalToBuffer(v, &n.buf); err != nil {
		return nil, err
	}
	return n.buf.Bytes(), nil
}
