package channel_test

import (
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hyperactor/hyperactor/wire"
)

// records is a connection that is better given all that there is to write, as
// one with TLS is. What it is tried with it takes in part.
type records struct {
	net.Conn
	takes   int
	tried   atomic.Int64
	batches atomic.Int64
}

func (c *records) TryWrite(b []byte) int {
	c.tried.Add(1)
	n, _ := c.Write(b[:min(c.takes, len(b))])
	return n
}

func (c *records) WriteBuffers(v *net.Buffers) (int64, error) {
	c.batches.Add(1)
	return v.WriteTo(c.Conn)
}

// What a connection takes at once, and what it does not, arrives once and in
// order. A batch is one write.
func TestConnectionsThatMakeRecords(t *testing.T) {
	for _, takes := range []int{0, 1, 100, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			near, far := memPair(t, plain)
			conn := &records{Conn: near, takes: takes}
			var got inbox
			a, _ := sessions(t, conn, far, (&inbox{}).handle, got.handle)
			synctest.Wait() // nobody writes
			for i := range uint64(40) {
				if err := a.Send(t.Context(), message(wire.Call, i+1, string(make([]byte, i*1000)))); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if calls := got.calls(); !slices.Equal(calls, upTo(40)) {
				t.Errorf("takes %d: got %v", takes, calls)
			}
			if tried, batches := conn.tried.Load(), conn.batches.Load(); tried == 0 || takes < 1<<20 && batches == 0 {
				t.Errorf("takes %d: tried %d times, %d batches", takes, tried, batches)
			}
		})
	}
}
