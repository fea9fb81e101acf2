package hyperactor_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hyperactor/hyperactor"
)

// TestTokenIsNotPrinted neither alone nor in a Config.
func TestTokenIsNotPrinted(t *testing.T) {
	cfg := hyperactor.Config{Token: "open sesame"}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("look", "config", cfg, "token", cfg.Token)
		slog.New(h).Info("look", "inside", struct{ Token hyperactor.Token }{cfg.Token})
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+"\n"+verb+"\n", cfg, cfg.Token)
	}
	for _, leak := range []string{"sesame", fmt.Sprintf("%x", "sesame"), fmt.Sprint([]byte("sesame"))} {
		if strings.Contains(log.String(), leak) {
			t.Errorf("%q is in %s", leak, &log)
		}
	}
	if got := fmt.Sprint(cfg.Token, hyperactor.Token("")); got != "(secret)" && got != "(secret) " {
		t.Errorf("got %q", got)
	}
}
