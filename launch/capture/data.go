package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// data reads the bytes of a segment, whether packed or not.
type data struct {
	f   *os.File
	seg segment
	zst *zstd.Decoder // nil if the segment is plain
}

// openData opens the file of s at an offset of the stream, or at its end if
// it is shorter.
func openData(dir string, s segment, offset int64) (*data, error) {
	ext := plainExt
	if s.packed {
		ext = packedExt
	}
	f, err := os.Open(filepath.Join(dir, s.name(ext)))
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	d := &data{f: f, seg: s}
	if err := d.seek(offset); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// seek goes to an offset of the stream.
func (d *data) seek(offset int64) error {
	if !d.seg.packed {
		_, err := d.f.Seek(offset-d.seg.base, io.SeekStart)
		return err
	}
	if d.zst != nil {
		d.zst.Close()
	}
	if _, err := d.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var err error
	if d.zst, err = unpack(d.f); err != nil {
		return fmt.Errorf("capture %s: %w", d.f.Name(), err)
	}
	if _, err := io.CopyN(io.Discard, d.zst, offset-d.seg.base); err != nil && err != io.EOF {
		return fmt.Errorf("capture %s: %w", d.f.Name(), err)
	}
	return nil
}

// size returns how many bytes the segment has by now. It moves.
func (d *data) size() (int64, error) {
	if !d.seg.packed {
		return d.f.Seek(0, io.SeekEnd)
	}
	if err := d.seek(d.seg.base); err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, d.zst)
	if err != nil {
		return 0, fmt.Errorf("capture %s: %w", d.f.Name(), err)
	}
	return n, nil
}

func (d *data) Read(p []byte) (int, error) {
	if d.zst != nil {
		return d.zst.Read(p)
	}
	return d.f.Read(p)
}

func (d *data) Close() error {
	if d.zst != nil {
		d.zst.Close()
	}
	return d.f.Close()
}
