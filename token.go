package hyperactor

import (
	"fmt"
	"io"
	"log/slog"
)

// Token is a secret that programs share; see Config. It is printed and logged as
// "(secret)" alone, or as nothing if it is empty.
type Token string

// String does not return the token: string(t) is that.
func (t Token) String() string {
	if t == "" {
		return ""
	}
	return "(secret)"
}

// Format writes String, whatever the verb is.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue has a log say String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns String, for a Config in JSON.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
