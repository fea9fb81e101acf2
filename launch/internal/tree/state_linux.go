package tree

import (
	"os"
	"strconv"
	"strings"
)

// Suspended reports whether the process is stopped, traced or frozen.
func (l *Leader) Suspended() bool {
	st, ok := readStat(l.PID)
	return ok && (st.state == 'T' || st.state == 't' || frozen(l.PID))
}

// frozen reports whether the process is in a frozen cgroup, of either version.
func frozen(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 || parts[2] == "/" { // the root cannot be frozen
			continue
		}
		switch parts[1] {
		case "":
			if fileHas("/sys/fs/cgroup"+parts[2]+"/cgroup.events", "frozen 1") ||
				fileHas("/sys/fs/cgroup/unified"+parts[2]+"/cgroup.events", "frozen 1") {
				return true
			}
		case "freezer":
			state := "/sys/fs/cgroup/freezer" + parts[2] + "/freezer.state"
			if fileHas(state, "FROZEN") || fileHas(state, "FREEZING") {
				return true
			}
		}
	}
	return false
}

func fileHas(path, text string) bool {
	b, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(b), text)
}

// stat is what we need of /proc/PID/stat.
type stat struct {
	state                 byte
	parent, pgrp, session int
	begin                 uint64 // when it began, in ticks since the boot; 0 if not given
}

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	return parseStat(string(b))
}

// beginField is where the beginning is, counted from the state.
const beginField = 19

// parseStat parses a line of /proc/PID/stat. The name of the program is in
// parentheses and may hold anything, parentheses and spaces too.
func parseStat(line string) (stat, bool) {
	i := strings.LastIndexByte(line, ')')
	fields := strings.Fields(line[i+1:])
	if i < 0 || len(fields) < 4 || len(fields[0]) != 1 || !letter(fields[0][0]) {
		return stat{}, false
	}
	parent, err1 := strconv.Atoi(fields[1])
	pgrp, err2 := strconv.Atoi(fields[2])
	session, err3 := strconv.Atoi(fields[3])
	st := stat{state: fields[0][0], parent: parent, pgrp: pgrp, session: session}
	if len(fields) > beginField {
		st.begin, _ = strconv.ParseUint(fields[beginField], 10, 64)
	}
	return st, err1 == nil && err2 == nil && err3 == nil
}

func letter(c byte) bool { return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' }
