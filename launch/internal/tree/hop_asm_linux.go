//go:build linux && (amd64 || arm64)

package tree

import "unsafe"

// hopStart returns where the code of the hop begins, which is not called but
// copied.
func hopStart() unsafe.Pointer

// hopSize is no less than the size of the code. What lies behind is never reached.
const hopSize = 192

// hopCode returns the instructions of the hop, which run wherever they are put.
func hopCode() []byte { return unsafe.Slice((*byte)(hopStart()), hopSize) }
