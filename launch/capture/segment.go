package capture

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segment is one file of a stream with its index.
type segment struct {
	Source
	base   int64 // where in the stream it begins
	packed bool  // compressed
}

// The endings of file names.
const (
	plainExt  = ".log"
	packedExt = ".zst"
	indexExt  = ".idx"
	tempExt   = ".tmp" // a compressed file that is not complete
)

// name returns the name of the segment's file with the given ending.
func (s segment) name(ext string) string {
	return fmt.Sprintf("%s.%s.%016d%s", s.Proc, streamName(s.Stream), s.base, ext)
}

// parseName is the inverse of name.
func parseName(name string) (s segment, ext string, ok bool) {
	ext = filepath.Ext(name)
	rest := strings.TrimSuffix(name, ext)
	base := filepath.Ext(rest)
	rest = strings.TrimSuffix(rest, base)
	stream := filepath.Ext(rest)
	s.Proc = strings.TrimSuffix(rest, stream)
	base = strings.TrimPrefix(base, ".")
	n, err := strconv.ParseUint(base, 10, 63)
	s.base = int64(n)
	s.Stream, ok = parseStream(strings.TrimPrefix(stream, "."))
	s.packed = ext == packedExt
	asNamed := len(base) == 16 || len(base) > 16 && base[0] != '0'
	if err != nil || !ok || !asNamed || s.check() != nil {
		return segment{}, "", false
	}
	return s, ext, true
}

// list returns the segments in a directory by source, in order. While a
// segment is both plain and packed, the plain file counts.
func list(dir string) (map[Source][]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return group(entries), nil
}

func group(entries []fs.DirEntry) map[Source][]segment {
	found := map[Source][]segment{}
	for _, e := range entries {
		if s, ext, ok := parseName(e.Name()); ok && (ext == plainExt || ext == packedExt) {
			found[s.Source] = append(found[s.Source], s)
		}
	}
	for source, segs := range found {
		slices.SortFunc(segs, func(a, b segment) int {
			return cmp.Or(cmp.Compare(a.base, b.base), compareBool(a.packed, b.packed))
		})
		found[source] = slices.CompactFunc(segs, func(a, b segment) bool { return a.base == b.base })
	}
	return found
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// at returns the index of the segment that has offset, the last one that does
// not begin after it; -1 if all do.
func at(segs []segment, offset int64) int {
	i, found := slices.BinarySearchFunc(segs, offset, func(s segment, offset int64) int { return cmp.Compare(s.base, offset) })
	if found {
		return i
	}
	return i - 1
}
