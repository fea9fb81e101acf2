package probe

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/hyperactor/hyperactor/launch"
	"github.com/hyperactor/hyperactor/launch/native"
)

// childMarker says in the environment of a child what it has to do.
const childMarker = "PROBE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childMarker) != "" {
		os.Exit(notifyChild(os.Getenv("NOTIFY_SOCKET"), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// notifyChild sends messages to a socket and ends.
func notifyChild(socket string, messages []string) int {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: socket})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	for _, m := range messages {
		if _, err := c.Write([]byte(m)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// newLauncher returns a launcher that leaves no process behind.
func newLauncher(t *testing.T) launch.Launcher {
	l := native.New(native.Config{})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
