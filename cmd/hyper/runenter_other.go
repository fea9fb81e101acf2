//go:build !linux

package main

import (
	"bytes"
	"os"
)

// eachEnter calls pressed for each read of the terminal that ends a line, until
// the terminal is gone. A read in the background stops us, as it stops any
// program.
func eachEnter(_ int, pressed func()) {
	buf := make([]byte, 4096)
	for {
		n, err := os.Stdin.Read(buf)
		if err != nil {
			return
		}
		if bytes.IndexByte(buf[:n], '\n') >= 0 {
			pressed()
		}
	}
}
