package wire

import (
	"errors"
	"strings"
	"testing"
)

const (
	goodParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	goodState  = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
)

func TestParseTraceparent(t *testing.T) {
	long := func(key string, n int) string { return key + "=" + strings.Repeat("v", n-len(key)-1) }
	var many []string
	for c := range 33 {
		many = append(many, "k"+string(rune('a'+c/26))+string(rune('a'+c%26))+"=1")
	}
	for _, tt := range []struct{ name, parent, state, wantParent, wantState string }{
		{"as in the recommendation", goodParent, goodState, goodParent, goodState},
		{"no state", goodParent, "", goodParent, ""},
		{"not sampled", goodParent[:53] + "00", "", goodParent[:53] + "00", ""},
		{"flags that mean nothing", goodParent[:53] + "ff", "", goodParent[:53] + "03", ""},
		{"a later version", "cc" + goodParent[2:], goodState, goodParent, goodState},
		{"a later version with more", "cc" + goodParent[2:] + "-what", "", goodParent, ""},
		{"white space and empty entries", goodParent, " a=1 ,\t, b=2\t", goodParent, "a=1,b=2"},
		{"a space in a value", goodParent, "a=1 2", goodParent, "a=1 2"},
		{"tenant and system", goodParent, "0a@b=1", goodParent, "0a@b=1"},
		{"32 entries", goodParent, strings.Join(many[:32], ","), goodParent, strings.Join(many[:32], ",")},
		{"33 entries", goodParent, strings.Join(many, ","), goodParent, ""},
		{"the same key twice", goodParent, "a=1,a=2", goodParent, ""},
		{"upper case key", goodParent, "A=1", goodParent, ""},
		{"key with a digit first", goodParent, "0a=1", goodParent, ""},
		{"system with a digit first", goodParent, "a@0b=1", goodParent, ""},
		{"no tenant", goodParent, "@b=1", goodParent, ""},
		{"no value", goodParent, "a=", goodParent, ""},
		{"no =", goodParent, "a", goodParent, ""},
		{"two =", goodParent, "a=1=2", goodParent, ""},
		{"a line break", goodParent, "a=1\r\nx: y", goodParent, ""},
		{"beyond ASCII", goodParent, "a=ü", goodParent, ""},
		{"a key of 257", goodParent, strings.Repeat("k", 257) + "=1", goodParent, ""},
		{"a value of 257", goodParent, "a=" + strings.Repeat("v", 257), goodParent, ""},
		{"too long: long entries go first", goodParent, long("a", 200) + "," + long("b", 120) + "," + long("c", 200) + "," + long("d", 100), goodParent,
			long("a", 200) + "," + long("b", 120) + "," + long("d", 100)},
		{"too long: then the last", goodParent, long("a", 128) + "," + long("b", 128) + "," + long("c", 128) + "," + long("d", 128), goodParent,
			long("a", 128) + "," + long("b", 128) + "," + long("c", 128)},
		{"empty", "", "", "", ""},
		{"cut", goodParent[:54], "", "", ""},
		{"longer in version 00", goodParent + "-", "", "", ""},
		{"a later version with more and no -", "01" + goodParent[2:] + "x", "", "", ""},
		{"version ff", "ff" + goodParent[2:], "", "", ""},
		{"upper case", strings.ToUpper(goodParent), "", "", ""},
		{"no digit", "00-" + strings.Repeat("g", 32) + goodParent[35:], "", "", ""},
		{"zero id", "00-" + strings.Repeat("0", 32) + goodParent[35:], "", "", ""},
		{"zero span", goodParent[:36] + strings.Repeat("0", 16) + goodParent[52:], "", "", ""},
		{"_ for -", strings.Replace(goodParent, "-", "_", 3), "", "", ""},
	} {
		got, err := ParseTraceparent(tt.parent, tt.state)
		if tt.wantParent == "" {
			if !errors.Is(err, ErrTraceparent) || got != (Trace{}) {
				t.Errorf("%s: got %v, %v; want an error", tt.name, got, err)
			}
			continue
		}
		if err != nil || got.String() != tt.wantParent || got.State != tt.wantState {
			t.Errorf("%s: got %v with %q, %v\nwant %s with %q", tt.name, got, got.State, err, tt.wantParent, tt.wantState)
		}
	}
}

// What was read is valid, and reads the same when it is written and read again.
func FuzzParseTraceparent(f *testing.F) {
	f.Add(goodParent, goodState)
	f.Add("cc"+goodParent[2:]+"-x", " a@b=1 ,, c/*_-=~")
	f.Add(goodParent, strings.Repeat("a=1,", 40))
	f.Add(goodParent, "a="+strings.Repeat("v", 250)+",b="+strings.Repeat("v", 250)+",c=1")
	f.Fuzz(func(t *testing.T, parent, state string) {
		got, err := ParseTraceparent(parent, state)
		if err != nil {
			if !errors.Is(err, ErrTraceparent) || got != (Trace{}) {
				t.Fatalf("%v, %v", got, err)
			}
			return
		}
		if !got.Valid() {
			t.Fatalf("%+v is not valid", got)
		}
		again, err := ParseTraceparent(got.String(), got.State)
		got.Flags &= knownFlags
		if err != nil || again != got {
			t.Fatalf("%+v became %+v, %v", got, again, err)
		}
	})
}

func TestDecodeRefusesATraceState(t *testing.T) {
	for _, state := range []string{"a", "a=1\r\nx: y", "a=1, b=2"} {
		e := sample
		e.Trace = &Trace{ID: [16]byte{1}, Span: [8]byte{1}, State: state}
		if _, err := new(Decoder).Decode(e.Append(nil)); !errors.Is(err, Malformed) {
			t.Errorf("%q: %v, want Malformed", state, err)
		}
	}
}
