package capture

import (
	"errors"
	"fmt"
	"io"
)

// resume finds out where the stream has come to in earlier runs.
func (w *Writer) resume() error {
	all, err := list(w.dir.cfg.Path)
	if err != nil {
		return err
	}
	segs := all[w.source]
	if len(segs) == 0 {
		w.known = true
		return nil
	}
	last := segs[len(segs)-1]
	end, err := findEnd(w.dir.cfg.Path, last)
	if err != nil {
		return err
	}
	w.known, w.at, w.base, w.noted = true, end.place, last.base, end.record
	if !last.packed {
		w.size = end.size
	}
	return nil
}

// end is where a segment ends.
type end struct {
	place
	record record // the last one
	size   int64  // of the index up to there; 0 if there is no index
}

// findEnd returns where s ends. A record that lies behind the stored bytes, or
// is torn, is left out.
func findEnd(dir string, s segment) (end, error) {
	x, err := openIndex(dir, s)
	if err != nil {
		return end{}, err
	}
	defer x.close()
	e := end{place: place{offset: s.base}}
	data, err := openData(dir, s, s.base)
	if err != nil {
		return end{}, err
	}
	defer data.Close()
	size, err := data.size()
	if err != nil {
		return end{}, err
	}
	n, r, ok, err := x.search(func(r record) bool { return r.offset > s.base+size })
	if err != nil {
		return end{}, err
	}
	if ok {
		e.record, e.place = r, r.place
	}
	if x != nil {
		e.size = int64(len(indexMagic)) + int64(n)*recordSize
	}
	if err := data.seek(e.offset); err != nil {
		return end{}, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := data.Read(buf)
		e.feed(buf[:n])
		if errors.Is(err, io.EOF) {
			return e, nil
		}
		if err != nil {
			return end{}, fmt.Errorf("capture: %w", err)
		}
	}
}
