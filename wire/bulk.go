package wire

// Bulk is bytes that a message carries beside its body: they cross without
// being copied into it (MS-9). The zero Bulk is empty. A Bulk is a value, but
// its bytes are shared: nobody changes them once they are in a message.
type Bulk struct{ b []byte }

// NewBulk returns a Bulk of b, which must not be changed afterwards.
func NewBulk(b []byte) Bulk { return Bulk{b} }

// Bytes returns the bytes, which must not be changed.
func (b Bulk) Bytes() []byte { return b.b }

// Len returns the number of bytes.
func (b Bulk) Len() int { return len(b.b) }

func (b Bulk) bytes() []byte { return b.b }
