// Package capture keeps the output of processes in files and reads it back
// (PS-8): every byte as it was written, one stream per proc, by position, by
// time or by line, also while it grows.
//
// A [Dir] owns a directory for writing, its [Writer] takes the chunks of one
// stream as they come from the pipe. A [Reader] reads a directory, from any
// process, also while another one writes.
//
// # Files
//
// A stream is a row of segments. Each is named for its proc, its stream and
// the place in the stream where it begins:
//
//	worker.stdout.0000000000000000.zst    rotated and compressed
//	worker.stdout.0000000000000000.idx
//	worker.stdout.0000000067108811.log    being written: the child's bytes and nothing else
//	worker.stdout.0000000067108811.idx
//
// No name is used twice before Dir.Remove, so a position keeps its meaning,
// nothing is renamed under a reader, and a listing shows the whole state. A proc
// that is started again under its old name goes on in the last segment.
// A segment ends at a line end, unless a line goes more than launch.MaxLine
// bytes beyond Config.MaxBytes. Files appear with the first byte.
//
// The index of a segment has small records of equal size: at this time, here
// in the stream, so many lines had ended. One is written before the bytes it
// speaks of, at most every millisecond, so times are exact to a millisecond
// when much is written and to 50 ms when little is. Other records mark where a
// proc began or ended with its last line unfinished, and where bytes were
// lost. A record that a crash has torn is ignored, the next writer replaces it.
// Times never go back within a stream, even if the clock of the system does.
//
// # Promises
//
//   - A Writer never waits for anything but the file system, and never fails:
//     what cannot be stored (disk full, directory gone, limits) is counted, and
//     readers see how many bytes are missing where and from when to when.
//   - Stored bytes survive the death of the writing process, at any moment. They
//     are not synced, so they may not survive the death of the machine.
//   - Rotation deletes the oldest segments. A reader that was there, or asks for
//     it, is told how much has gone.
//   - One process at a time writes to a directory.
//
// # Compression
//
// Rotated segments are compressed with zstd from github.com/klauspost/compress,
// by one goroutine, some time after the rotation: a flood that rotates them
// away before costs no compression at all.
package capture
