package host

import (
	"slices"
	"strings"
)

// markEnv stays in the environment of everything that descends from a host.
const markEnv = "HYPERACTOR_MARK"

// Environ builds the environment of a process: the layers one after the other,
// of which a later value of a name replaces an earlier one, and mark, unless it
// is empty, which every descendant of the process inherits.
func Environ(mark string, layers ...[]string) []string {
	all := slices.Concat(layers...)
	if mark != "" {
		all = append(all, Marker(mark))
	}
	at := make(map[string]int, len(all))
	env := all[:0] // which it never overtakes
	for _, kv := range all {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			env[i] = kv
			continue
		}
		at[name] = len(env)
		env = append(env, kv)
	}
	return env
}

// Inheritable returns what of a process's environment is for its children, too:
// all but what a service manager tells one process alone. A child that found that
// would speak in the name of its parent.
func Inheritable(env []string) []string { return slices.DeleteFunc(slices.Clone(env), private) }

func private(kv string) bool {
	name, _, _ := strings.Cut(kv, "=")
	switch name {
	case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES":
		return true
	}
	return false
}

// Marker returns what the environment of everything that descends from a host
// with this mark contains, for launch.Census.
func Marker(mark string) string { return markEnv + "=" + mark }
