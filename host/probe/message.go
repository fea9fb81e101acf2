package probe

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// message is one message of sd_notify(3), as far as we understand it: lines of
// the form KEY=VALUE, of which the last of each key counts.
type message struct {
	ready, stopping bool
	alive, trigger  bool // WATCHDOG=1, WATCHDOG=trigger
	hasStatus       bool
	status          string
	patience        time.Duration
}

// parseMessage reads what a process wrote. What it does not understand it
// leaves out.
func parseMessage(text []byte) message {
	var m message
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		key, value, _ := strings.Cut(string(line), "=")
		switch key {
		case "READY":
			m.ready = value == "1"
		case "STOPPING":
			m.stopping = value == "1"
		case "WATCHDOG":
			m.alive, m.trigger = value == "1", value == "trigger"
		case "STATUS":
			m.hasStatus, m.status = true, printable(value)
		case "EXTEND_TIMEOUT_USEC":
			m.patience = microseconds(value)
		}
	}
	return m
}

// printable makes text fit for a line of a terminal, whoever wrote it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// microseconds returns at most MaxPatience; 0 if text is no number.
func microseconds(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && n == 0 {
		return 0
	}
	return time.Duration(min(n, uint64(MaxPatience/time.Microsecond))) * time.Microsecond
}
