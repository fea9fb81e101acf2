package channel_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/channel"
	"github.com/hyperactor/hyperactor/wire"
)

// BenchmarkRealOneWay is 64 MiB one way in messages of one size, against the
// same writes over a bare connection, in turns.
func BenchmarkRealOneWay(b *testing.B) {
	for _, network := range []string{"unix", "tcp"} {
		for _, size := range []int{64 << 10, 1 << 20} {
			b.Run(network+"/"+byteSize(size), func(b *testing.B) {
				const total = 64 << 20
				bare := bareOneWay(b, network, size, total/size)
				ours := sessionOneWay(b, network, size, total/size)
				var atBare, atOurs time.Duration
				b.SetBytes(2 * total)
				b.ReportAllocs()
				for b.Loop() {
					atBare += bare()
					atOurs += ours()
				}
				b.ReportMetric(float64(atBare)/float64(atOurs), "of-bare")
				b.ReportMetric(total*float64(b.N)/atOurs.Seconds()/1e9, "GB/s")
			})
		}
	}
}

// bareOneWay returns what writes n times size bytes until they are read.
func bareOneWay(b *testing.B, network string, size, n int) func() time.Duration {
	near, far := realPair(b, network)
	read := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, size)
		for {
			for range n {
				if _, err := io.ReadFull(far, buf); err != nil {
					return
				}
			}
			read <- struct{}{}
		}
	})
	b.Cleanup(func() {
		near.Close()
		wg.Wait()
		far.Close()
	})
	buf := make([]byte, size)
	return func() time.Duration {
		start := time.Now()
		for range n {
			near.Write(buf)
		}
		<-read
		return time.Since(start)
	}
}

// sessionOneWay is bareOneWay with messages.
func sessionOneWay(b *testing.B, network string, size, n int) func() time.Duration {
	near, far := realPair(b, network)
	read := make(chan struct{})
	got := 0
	client, _ := sessions(b, near, far, func(*channel.Session, *wire.Envelope) {}, func(_ *channel.Session, e *wire.Envelope) {
		e.Release()
		if got++; got%n == 0 {
			read <- struct{}{}
		}
	})
	e := message(wire.Send, 0, "")
	e.Body = make([]byte, size)
	return func() time.Duration {
		start := time.Now()
		for range n {
			if err := client.Send(b.Context(), e); err != nil {
				b.Fatal(err)
			}
		}
		<-read
		return time.Since(start)
	}
}
