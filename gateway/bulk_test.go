package gateway_test

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/hyperactor/hyperactor/wire"
)

// MS-9: bulk passes through gateways in between, whole and in order.
func TestMS9BulkIsRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(t)
		a, mid, p := w.node("a"), w.node("mid"), w.node("p")
		defer closeAll(a, mid, p)
		a.Route(mid.id, mid.Addr())
		mid.Route(p.id, p.Addr())
		a.RouteVia(p.id, mid.id)
		part := bytes.Repeat([]byte{1, 2, 3}, 1<<20)
		for _, body := range []string{"first", "second", "third"} {
			e := a.envelope(wire.Send, p, body)
			e.Parts = []wire.Bulk{wire.NewBulk(part[:len(body)]), wire.NewBulk(part)}
			if err := a.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		came := p.messages()
		p.wants("first", "second", "third")
		for _, e := range came {
			if len(e.Parts) != 2 || e.Parts[0].Len() != len(e.Body) || !bytes.Equal(e.Parts[1].Bytes(), part) {
				t.Errorf("%s comes with %v", e.Body, e.Parts)
			}
		}
		if n := mid.Stats().Relayed; n != 3 {
			t.Errorf("%d were relayed", n)
		}
	})
}
