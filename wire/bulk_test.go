package wire

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// lender lends memory that turns to dirt when it is given back.
type lender struct{ back atomic.Int32 }

func (l *lender) lend(b []byte) Bulk {
	b = bytes.Clone(b)
	return Lend(b, func() {
		l.back.Add(1)
		for i := range b {
			b[i] = '#'
		}
	})
}

func TestBytesOfALoanStay(t *testing.T) {
	var l lender
	b := l.lend([]byte("abc"))
	got := b.Bytes()
	if string(got) != "abc" || l.back.Load() != 1 {
		t.Errorf("%q, given back %d times, want once by then", got, l.back.Load())
	}
	if again := b.Bytes(); &again[0] != &got[0] {
		t.Error("copied again")
	}
	b.Release()
	if string(got) != "abc" || b.Bytes() != nil || b.Len() != 3 || l.back.Load() != 1 {
		t.Errorf("after Release: %q, %q, %d bytes, back %d", got, b.Bytes(), b.Len(), l.back.Load())
	}
}

func TestViewKeepsALoan(t *testing.T) {
	var l lender
	b := l.lend([]byte("abc"))
	err := b.View(func(p []byte) error {
		b.Release()
		if string(p) != "abc" || l.back.Load() != 0 {
			t.Errorf("%q, back %d: released under the view", p, l.back.Load())
		}
		return errors.New("mine")
	})
	if err == nil || err.Error() != "mine" || l.back.Load() != 1 {
		t.Errorf("%v, back %d", err, l.back.Load())
	}
	if err := b.View(func([]byte) error { t.Error("called"); return nil }); !errors.Is(err, ErrReleased) {
		t.Errorf("View after Release: %v", err)
	}
	if _, err := b.Share(); !errors.Is(err, ErrReleased) {
		t.Errorf("Share after Release: %v", err)
	}
	if _, err := Marshal(b); !errors.Is(err, ErrReleased) {
		t.Errorf("Marshal after Release: %v", err)
	}
}

func TestPartsOutliveTheMessage(t *testing.T) {
	var l lender
	b := l.lend([]byte("abc"))
	body, parts, err := MarshalParts(page{1, b})
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	var got page
	if err := UnmarshalParts(body, parts, &got); err != nil || l.back.Load() != 0 || string(got.Image.Bytes()) != "abc" {
		t.Errorf("%v, %v, back %d", got, err, l.back.Load())
	}
	if l.back.Load() != 1 {
		t.Errorf("back %d, want once", l.back.Load())
	}
}

func TestForgottenLoanIsGivenBack(t *testing.T) {
	back := make(chan struct{})
	func() {
		b := Lend(make([]byte, 1), func() { close(back) })
		if _, err := b.Share(); err != nil {
			t.Fatal(err)
		}
	}()
	runtime.GC() // finds both; their cleanups run on a goroutine of the runtime
	<-back
}

func TestLoanFromManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			var l lender
			b := l.lend([]byte("abc"))
			var wg sync.WaitGroup
			for _, use := range []func(){
				b.Release,
				func() { ok(t, b.Bytes()) },
				func() { b.View(func(p []byte) error { ok(t, p); return nil }) },
				func() {
					if own, err := b.Share(); err == nil {
						ok(t, own.Bytes())
						own.Release()
					}
				},
			} {
				wg.Go(use)
			}
			wg.Wait()
			if l.back.Load() != 1 {
				t.Fatalf("given back %d times", l.back.Load())
			}
		}
	})
}

func ok(t *testing.T, b []byte) {
	if b != nil && string(b) != "abc" {
		t.Errorf("%q", b)
	}
}

// TestLoanModel compares loans with what is obvious: a set of holders.
func TestLoanModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lender
		type holder struct {
			b        Bulk
			pins     int
			done     bool // nothing but the pins holds it
			gone     bool // nor do they, for good
			released bool
			copied   bool
		}
		all := []*holder{{b: l.lend([]byte("abc"))}}
		pick := func(t *rapid.T) *holder { return rapid.SampledFrom(all).Draw(t, "holder") }
		t.Repeat(map[string]func(*rapid.T){
			"bytes": func(t *rapid.T) {
				h := pick(t)
				if got := h.b.Bytes(); h.released != (got == nil) || got != nil && string(got) != "abc" {
					t.Fatalf("Bytes: %q, released %v", got, h.released)
				}
				h.done, h.copied = true, h.copied || !h.released
			},
			"pin": func(t *rapid.T) {
				h := pick(t)
				p, err := h.b.Pin()
				if h.released != (err != nil) || err == nil && string(p) != "abc" {
					t.Fatalf("Pin: %q, %v, released %v", p, err, h.released)
				}
				if err == nil {
					h.pins++
				}
			},
			"unpin": func(t *rapid.T) {
				if h := pick(t); h.pins > 0 {
					h.pins--
					h.b.Unpin()
				}
			},
			"release": func(t *rapid.T) {
				h := pick(t)
				h.b.Release()
				h.done, h.released = true, true
			},
			"share": func(t *rapid.T) {
				h := pick(t)
				own, err := h.b.Share()
				if h.released != (err != nil) {
					t.Fatalf("Share: %v, released %v", err, h.released)
				}
				if err == nil && !h.copied {
					all = append(all, &holder{b: own})
				}
			},
			"": func(t *rapid.T) {
				back := int32(1)
				for _, h := range all {
					h.gone = h.gone || h.done && h.pins == 0
					if !h.gone {
						back = 0
					}
				}
				if got := l.back.Load(); got != back {
					t.Fatalf("given back %d times, want %d", got, back)
				}
			},
		})
	})
}

// A buffer is used again when its body and all parts are released, and never if
// somebody has taken bytes of it for good.
func TestBufferOfAnEnvelope(t *testing.T) {
	for name, keep := range map[string]func(e *Envelope){
		"nobody":    func(*Envelope) {},
		"a part":    func(e *Envelope) { e.Parts[1].Bytes() },
		"a share":   func(e *Envelope) { b, _ := e.Parts[0].Share(); b.Bytes() },
		"a pin":     func(e *Envelope) { e.Parts[0].Pin() },
		"a message": func(e *Envelope) { MarshalParts(page{1, e.Parts[0]}) },
	} {
		back := 0
		buffer := []byte("bodyonetwo")
		e := Envelope{Body: buffer[:4], Parts: []Bulk{NewBulk(buffer[4:7]), NewBulk(buffer[7:]), Lend([]byte("lent"), func() { back += 10 })}}
		e.InBuffer(func() { back++ })
		again := e // what is delivered is copied on the way
		keep(&e)
		e.Release()
		again.Release()
		e.Release()
		if want := 10 + map[string]int{"nobody": 1}[name]; back != want {
			t.Errorf("%s has it: given back %d, want %d", name, back, want)
		}
		if got := e.Parts[1].Bytes(); got != nil {
			t.Errorf("%s has it: a released part has %q", name, got)
		}
	}
	back := 0
	e := Envelope{Body: []byte("body")}
	e.InBuffer(func() { back++ })
	if e.ReleaseBody(); back != 1 || e.Body != nil {
		t.Errorf("a body alone: given back %d times, %q", back, e.Body)
	}
}

func bulks() *rapid.Generator[Bulk] {
	return rapid.Custom(func(t *rapid.T) Bulk { return NewBulk(rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "bytes")) })
}

// TestPartsAreWhatMarshalIs: with or without parts the same message arrives.
func TestPartsAreWhatMarshalIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawAlbum(t, 3)
		plain, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var want album
		if err := Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		body, parts, err := MarshalParts(v)
		if err != nil {
			t.Fatal(err)
		}
		var got album
		if err := UnmarshalParts(body, parts, &got); err != nil {
			t.Fatal(err)
		}
		if a, b := flat(want), flat(got); !bytes.Equal(a, b) {
			t.Fatalf("got  %q\nwant %q", b, a)
		}
	})
}

func drawAlbum(t *rapid.T, depth int) album {
	a := album{
		Name: "n", Cover: bulks().Draw(t, "cover"),
		Pages: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) page { return page{1, bulks().Draw(t, "image")} }), 0, 3).Draw(t, "pages"),
		Pair:  [2]Bulk{bulks().Draw(t, "left"), bulks().Draw(t, "right")},
		Grid:  rapid.SliceOfN(rapid.SliceOfN(bulks(), 0, 3), 0, 3).Draw(t, "grid"),
		shelf: shelf{bulks().Draw(t, "label")}, Maybe: bulks().Draw(t, "maybe"),
	}
	if rapid.Bool().Draw(t, "map") {
		a.ByName = map[string]Bulk{"x": bulks().Draw(t, "x")}
	}
	if rapid.Bool().Draw(t, "back") {
		a.Back = new(bulks().Draw(t, "back"))
	}
	if depth > 0 && rapid.Bool().Draw(t, "next") {
		a.Next = new(drawAlbum(t, depth-1))
	}
	return a
}

// flat is a form in which equal albums are equal bytes.
func flat(a album) []byte {
	b, err := encMode().Marshal(a)
	if err != nil {
		panic(err)
	}
	return b
}
