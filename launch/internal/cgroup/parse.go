package cgroup

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mount is a mounted cgroup hierarchy.
type mount struct {
	point       string   // where
	root        string   // the group that is seen there
	controllers []string // of version 1; nil: version 2
}

// parseMounts returns the cgroup hierarchies of a mountinfo file (proc(5)), of
// several mounts of one the first.
func parseMounts(mountinfo string) []mount {
	var all []mount
	for line := range strings.Lines(mountinfo) {
		// 36 35 98:0 /root /point options optional… - type source superoptions
		before, after, ok := strings.Cut(line, " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if !ok || len(where) < 5 || len(what) < 3 {
			continue
		}
		m := mount{root: unescape(where[3]), point: unescape(where[4])}
		switch what[0] {
		case "cgroup2":
		case "cgroup":
			m.controllers = strings.Split(what[2], ",")
		default:
			continue
		}
		same := func(o mount) bool { return slices.Equal(o.controllers, m.controllers) }
		if !slices.ContainsFunc(all, same) {
			all = append(all, m)
		}
	}
	return all
}

// unescape undoes the octal escapes of a path in mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parseOwn returns the path of a process's group in the hierarchy of a
// controller of version 1, or for "" of version 2, from its cgroup file
// (cgroups(7)).
func parseOwn(file, controller string) (path string, ok bool) {
	for line := range strings.Lines(file) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), controller) {
			return parts[2], true
		}
	}
	return "", false
}

// below returns the directory of the group path, if the mount shows it.
func (m mount) below(path string) (dir string, ok bool) {
	rel, err := filepath.Rel(m.root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return filepath.Join(m.point, rel), true
}

// hasGroup reports whether a cgroup file of a process names a group whose path
// ends with name, or one in it.
func hasGroup(file, name string) bool {
	for line := range strings.Lines(file) {
		_, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), name)
		if ok && (rest == "" || rest[0] == '/' || rest[0] == ' ') { // " (deleted)"
			return true
		}
	}
	return false
}

// parseKeyed returns the number that follows key in a file of lines "key N".
func parseKeyed(file, key string) int {
	for line := range strings.Lines(file) {
		if k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && k == key {
			n, _ := strconv.Atoi(v) // the kernel writes numbers
			return n
		}
	}
	return 0
}

// parsePIDs returns the numbers of a cgroup.procs file. Zero stands for a
// process that has no number here: it is in another PID namespace.
func parsePIDs(file string) (pids []int) {
	for line := range strings.Lines(file) {
		if pid, err := strconv.Atoi(strings.TrimSuffix(line, "\n")); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}
