package authority_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor/authority"
)

// A key is printed by nobody, however it is tried.
func TestKeysAreNotPrinted(t *testing.T) {
	demo := newAuthority(t, "demo")
	alpha := newHost(t, demo, "alpha")
	for _, c := range []struct {
		value any
		want  string
	}{
		{alpha.Credentials, "credentials of hyper://alpha.demo/alpha"},
		{&alpha.Credentials, "credentials of hyper://alpha.demo/alpha"},
		{struct{ Of authority.Credentials }{alpha.Credentials}, "credentials of hyper://alpha.demo/alpha"},
		{demo, "authority hyper://demo/"},
		{*demo, "authority hyper://demo/"},
		{alpha.Issuer, "issuer hyper://alpha.demo/alpha"},
		{alpha, "issuer hyper://alpha.demo/alpha"},
		{authority.Credentials{}, "credentials of "},
		{&authority.Issuer{}, "no certificate"},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%o"} {
			if got := fmt.Sprintf(verb, c.value); !strings.Contains(got, c.want) || len(got) > 200 {
				t.Errorf("%s: %.500s", verb, got)
			}
		}
		for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("look", "at", c.value)
			if got := b.String(); name == "text" && !strings.Contains(got, c.want) || strings.Contains(got, `"Key":`) {
				t.Errorf("%s: %.500s", name, got)
			}
		}
	}
}

// What a program keeps in a struct of its own ends up in JSON, too.
func TestKeysAreNotInJSON(t *testing.T) {
	h, err := newAuthority(t, "demo").Host("alpha", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(h); err != nil || bytes.Contains(b, []byte(`"Key"`)) {
		t.Errorf("%.300s, %v", b, err)
	}
}
