package handshake

import (
	"encoding/binary"

	"github.com/hyperactor/hyperactor/id"
)

// fields are those of a message that is being read: numbers as uvarints, and
// strings of bytes behind their length.
type fields struct {
	rest  []byte
	fault string // what is wrong with it; "" for nothing
}

func appendNumber[N ~int | ~uint32 | ~uint64](to []byte, n N) []byte {
	return binary.AppendUvarint(to, uint64(n))
}

func appendBytes[S ~string | ~[]byte](to []byte, s S) []byte {
	return append(appendNumber(to, len(s)), s...)
}

func appendProc(to []byte, p id.Proc) []byte {
	if p.IsZero() {
		return appendBytes(to, "")
	}
	return appendBytes(to, p.String())
}

func (f *fields) fail(fault string) {
	if f.fault == "" {
		f.fault, f.rest = fault, nil
	}
}

// number reads a number of most at most.
func (f *fields) number(most uint64) uint64 {
	n, size := binary.Uvarint(f.rest)
	if size <= 0 || n > most {
		f.fail("a number is missing or too large")
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

// bytes reads a string. It shares the memory of the message.
func (f *fields) bytes() []byte {
	n := f.number(uint64(len(f.rest)))
	if n > uint64(len(f.rest)) {
		f.fail("a string is longer than the message")
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) proc() id.Proc {
	s := string(f.bytes())
	if s == "" || f.fault != "" {
		return id.Proc{}
	}
	p, err := id.ParseProc(s)
	if err != nil {
		f.fail(err.Error())
	}
	return p
}

// end is called after the last field.
func (f *fields) end() {
	if len(f.rest) > 0 {
		f.fail("there is too much of it")
	}
}
