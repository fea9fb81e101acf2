package probe

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text  string
		want  Spec
		fault string
	}{
		{"process", Spec{}, ""},
		{"notify", Spec{Kind: KindNotify}, ""},
		{"log=listening on =", Spec{KindLog, "listening on ="}, ""},
		{"tcp=127.0.0.1:80", Spec{KindTCP, "127.0.0.1:80"}, ""},
		{"tcp=[::1]:80", Spec{KindTCP, "[::1]:80"}, ""},
		{"tcp=:http", Spec{KindTCP, ":http"}, ""},
		{"http=http://x/?a=b", Spec{KindHTTP, "http://x/?a=b"}, ""},
		{"grpc=unix:/run/x", Spec{KindGRPC, "unix:/run/x"}, ""},
		{"exec=test -e /tmp/x=y", Spec{KindExec, "test -e /tmp/x=y"}, ""},

		{"", Spec{}, `probe "": there is no ""; use process, log=REGEXP`},
		{"udp=:1", Spec{}, `probe "udp=:1": there is no "udp"`},
		{"process=", Spec{}, `process takes no value; write just "process"`},
		{"notify=x", Spec{}, `notify takes no value`},
		{"log", Spec{}, "log needs a value"},
		{"exec= ", Spec{}, "exec needs a value"},
		{"log=(", Spec{}, "missing closing )"},
		{"tcp=80", Spec{}, `"80" is no address; write tcp=HOST:PORT`},
		{"tcp=host:", Spec{}, `"host:" is no address`},
	}
	for _, tt := range tests {
		got, err := Parse(tt.text)
		switch {
		case tt.fault == "" && (err != nil || got != tt.want || got.String() != tt.text):
			t.Errorf("%q: got %+v (%v), %v", tt.text, got, got, err)
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
			t.Errorf("%q: got %v, want %q", tt.text, err, tt.fault)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"process", "log=^ok$", "tcp=:80", "http=http://x", "grpc=x:1", "notify", "exec=true", "=", "log=(", "tcp=[::1]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if s != (Spec{}) || !strings.Contains(err.Error(), "probe ") {
				t.Errorf("%q: got %+v, %v", text, s, err)
			}
			return
		}
		if again, err := Parse(s.String()); err != nil || again != s || s.String() != text {
			t.Errorf("%q: got %+v, and of its text %+v, %v", text, s, again, err)
		}
	})
}
