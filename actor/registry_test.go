package actor

import (
	"testing"

	"pgregory.net/rapid"
)

// TestRegistry compares a registry with one map.
func TestRegistry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r registry
		plain := map[string]*cell{}
		numbers := rapid.Uint64Range(1, 3*pageSize)
		names := rapid.OneOf(
			rapid.SampledFrom([]string{"a", "b", "agent", "_", "_0", "_01", "_A", "_-1", ""}),
			rapid.Map(numbers, makeName),
		)
		t.Repeat(map[string]func(*rapid.T){
			"put a made-up name": func(t *rapid.T) {
				n := numbers.Draw(t, "n")
				c := &cell{scope: scope{sender: sender{name: makeName(n)}}}
				if plain[c.name] == nil {
					r.put(c, n)
					plain[c.name] = c
				}
			},
			"put a name": func(t *rapid.T) {
				c := &cell{scope: scope{sender: sender{name: rapid.SampledFrom([]string{"a", "b", "agent"}).Draw(t, "name")}}}
				r.put(c, 0)
				plain[c.name] = c
			},
			"remove": func(t *rapid.T) {
				name := names.Draw(t, "name")
				r.remove(name)
				delete(plain, name)
			},
			"": func(t *rapid.T) {
				if name := names.Draw(t, "name"); r.get(name) != plain[name] {
					t.Fatalf("%q: got %p, want %p", name, r.get(name), plain[name])
				}
				left := len(plain)
				for c := range r.all {
					if plain[c.name] != c {
						t.Fatalf("%q is there, and should not be", c.name)
					}
					left--
				}
				if left != 0 {
					t.Fatalf("%d are missing", left)
				}
				if len(plain) == 0 && len(r.pages) != 0 {
					t.Fatalf("%d pages are kept for nobody", len(r.pages))
				}
			},
		})
	})
}
