package authority

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nothing gets its name before all is written, and nothing stays behind.
func TestAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	before := []byte("before")
	if err := place(dir, os.Rename, file{"a", before, 0o600}); err != nil {
		t.Fatal(err)
	}
	err := place(dir, os.Rename, file{"a", []byte("after"), 0o600}, file{strings.Repeat("b", 300), nil, 0o600}) // too long a name
	if got, e := os.ReadFile(filepath.Join(dir, "a")); err == nil || e != nil || !bytes.Equal(got, before) {
		t.Errorf("%v: the first file has %q, %v", err, got, e)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("files %v, %v", all, err)
	}
}
