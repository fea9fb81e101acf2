package capture

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hyperactor/hyperactor/launch"
	"pgregory.net/rapid"
)

func FuzzDecode(f *testing.F) {
	f.Add(record{kind: chunk}.append(nil))
	f.Add(record{kind: lossMark, place: place{offset: 1 << 40, line: 3, open: true}, time: 1 << 60, lost: 5, since: -1}.append(nil))
	f.Add(make([]byte, recordSize))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := decode(b)
		if !ok {
			return
		}
		if again := r.append(nil); !bytes.Equal(again, b[:recordSize]) {
			t.Errorf("%x decodes to %+v, which encodes to %x", b[:recordSize], r, again)
		}
	})
}

func TestDecodeFindsEachWrongBit(t *testing.T) {
	good := record{kind: startMark, place: place{offset: 7, line: 2, open: true}, time: 99}.append(nil)
	if _, ok := decode(good); !ok {
		t.Fatal("a good record is not ok")
	}
	for i := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if r, ok := decode(bad); ok {
			t.Errorf("bit %d: got %+v", i, r)
		}
	}
}

// FuzzIndex reads an index of any bytes: whatever they are, the stored bytes
// come out, and nothing panics or hangs.
func FuzzIndex(f *testing.F) {
	good := record{kind: lossMark, place: place{offset: 4, line: 1}, time: 5, lost: 9}.append([]byte(indexMagic))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(record{kind: chunk, place: place{offset: 2}}.append(good))
	f.Fuzz(func(t *testing.T, idx []byte) {
		dir := t.TempDir()
		s := segment{Source: Source{"p", launch.Stdout}}
		const stored = "one\ntwo\nthree"
		for ext, b := range map[string][]byte{plainExt: []byte(stored), indexExt: idx} {
			if err := os.WriteFile(filepath.Join(dir, s.name(ext)), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var got []byte
		for _, l := range collect(t, NewReader(dir), Query{}) {
			got = append(got, l.Text...)
			if !l.Partial && l.Gap == (Gap{}) {
				got = append(got, '\n')
			}
		}
		if string(got) != stored {
			t.Errorf("got %q", got)
		}
		collect(t, NewReader(dir), Query{Tail: 2})
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("p.stdout.0000000000000000.log")
	f.Add("a.b-c.stderr.12345678901234567.zst")
	f.Add("p.stdout.00000000000000001.idx")
	f.Fuzz(func(t *testing.T, name string) {
		if s, ext, ok := parseName(name); ok && s.name(ext) != name {
			t.Errorf("%q is taken for %q", name, s.name(ext))
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	f.Add("worker/stdout@1234")
	f.Add("/stderr@-1")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ParsePosition(text); err == nil && p.String() != text {
			t.Errorf("%q is taken for %q", text, p)
		}
	})
}

func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := segment{
			Source: Source{rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9._-]{0,40}`).Draw(t, "proc"), rapid.SampledFrom([]launch.Stream{launch.Stdout, launch.Stderr}).Draw(t, "stream")},
			base:   rapid.Int64Min(0).Draw(t, "base"),
		}
		if got, ext, ok := parseName(s.name(indexExt)); got != s || ext != indexExt || !ok {
			t.Errorf("name: got %+v, want %+v", got, s)
		}
		p := Position{s.Source, s.base}
		if got, err := ParsePosition(p.String()); got != p || err != nil {
			t.Errorf("position: got %+v, want %+v: %v", got, p, err)
		}
	})
}

// TestSearch compares search with looking at every record, some of which are
// not valid.
func TestSearch(t *testing.T) {
	dir := t.TempDir()
	s := segment{Source: Source{"p", launch.Stdout}}
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(indexMagic)
		var offsets []int64 // -1: not valid
		last := int64(0)
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			last += rapid.Int64Range(0, 3).Draw(t, "step")
			b = record{kind: chunk, place: place{offset: last}}.append(b)
			offsets = append(offsets, last)
			if rapid.IntRange(0, 3).Draw(t, "bad") == 0 {
				b[len(b)-1] ^= 1
				offsets[len(offsets)-1] = -1
			}
		}
		if err := os.WriteFile(filepath.Join(dir, s.name(indexExt)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := openIndex(dir, s)
		if err != nil {
			t.Fatal(err)
		}
		defer x.close()
		limit := rapid.Int64Range(0, 30).Draw(t, "limit")
		_, got, ok, err := x.search(func(r record) bool { return r.offset >= limit })
		want := int64(-1)
		for _, o := range offsets {
			if o < limit {
				want = max(want, o)
			}
		}
		if err != nil || ok != (want >= 0) || ok && got.offset != want {
			t.Fatalf("got %d, %v, %v, want %d", got.offset, ok, err, want)
		}
	})
}
