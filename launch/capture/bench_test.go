package capture

import (
	"fmt"
	"testing"

	"github.com/hyperactor/hyperactor/launch"
)

// BenchmarkRead reads 16 MiB of lines from one stream, and the same from eight merged.
func BenchmarkRead(b *testing.B) {
	for _, streams := range []int{1, 8} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			d, err := Open(Config{Path: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			const lines = 16 << 20 / 100
			var chunk []byte
			for range lines / streams / 16 {
				chunk = fmt.Appendf(chunk, "%099d\n", 7)
			}
			for i := range streams {
				w, err := d.Writer(fmt.Sprintf("p-%d", i), launch.Stdout)
				if err != nil {
					b.Fatal(err)
				}
				for range 16 {
					_, _ = w.Write(chunk) // never fails
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			if err := d.Close(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(lines * 100)
			for b.Loop() {
				n := 0
				for _, err := range d.Reader().Read(b.Context(), Query{}) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n < lines-streams*16 {
					b.Fatalf("got %d lines", n)
				}
			}
		})
	}
}
