package cgroup

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

const hybrid = `23 1 254:0 / / rw,relatime - ext4 /dev/root rw
35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:4 master:1 - cgroup cgroup rw,memory
37 31 0:34 /a\040b /sys/fs/cgroup/my\040systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 /pod /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
42 31 0:38 /other /mnt rw - cgroup2 none rw
`

func TestParseMounts(t *testing.T) {
	want := []mount{
		{"/sys/fs/cgroup/cpu,cpuacct", "/", []string{"rw", "cpu", "cpuacct"}},
		{"/sys/fs/cgroup/memory", "/", []string{"rw", "memory"}},
		{"/sys/fs/cgroup/my systemd", "/a b", []string{"rw", "name=systemd"}},
		{"/sys/fs/cgroup/unified", "/pod", nil},
	}
	if got := parseMounts(hybrid); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, file := range []string{"", "\n", " - cgroup2 x y", "1 2 3 4 - cgroup2 x y", "1 2 3 4 5 - cgroup2", "1 2 3 4 5"} {
		if got := parseMounts(file); got != nil {
			t.Errorf("%q: got %+v", file, got)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(hybrid)
	f.Add(`1 2 3 \0 \040\ - cgroup x y`)
	f.Fuzz(func(t *testing.T, file string) {
		for i, m := range parseMounts(file) {
			if m.point == "" || m.root == "" || m.controllers == nil && i > 0 && parseMounts(file)[i-1].controllers == nil {
				t.Errorf("%q: got %+v", file, m)
			}
		}
	})
}

const own = "12:pids:/user.slice\n4:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/d/e\n"

func TestParseOwn(t *testing.T) {
	tests := []struct {
		controller, want string
		ok               bool
	}{{"pids", "/user.slice", true}, {"cpuacct", "/a", true}, {"name=systemd", "/b:c", true}, {"", "/d/e", true}, {"memory", "", false}}
	for _, tt := range tests {
		if got, ok := parseOwn(own, tt.controller); got != tt.want || ok != tt.ok {
			t.Errorf("%q: got %q, %v", tt.controller, got, ok)
		}
	}
}

func FuzzParseOwn(f *testing.F) {
	f.Add(own, "cpu")
	f.Add("0::", "")
	f.Fuzz(func(t *testing.T, file, controller string) {
		if path, ok := parseOwn(file, controller); ok && !strings.Contains(file, controller+":"+path) && !strings.Contains(file, ",") {
			t.Errorf("%q has no %q of %q", file, path, controller)
		}
	})
}

func TestBelow(t *testing.T) {
	tests := []struct {
		root, path, want string
		ok               bool
	}{
		{"/", "/", "/m", true},
		{"/", "/a/b", "/m/a/b", true},
		{"/a", "/a", "/m", true},
		{"/a", "/a/b", "/m/b", true},
		{"/a", "/ab", "", false},
		{"/a", "/", "", false},
		{"/", "/../x", "/m/x", true}, // outside of the namespace; it is not there, then
		{"/a", "x", "", false},
	}
	for _, tt := range tests {
		m := mount{point: "/m", root: tt.root}
		if got, ok := m.below(tt.path); got != tt.want || ok != tt.ok {
			t.Errorf("%q below %q: got %q, %v", tt.path, tt.root, got, ok)
		}
	}
}

func TestHasGroup(t *testing.T) {
	const name = "/hyperactor-3-X/7"
	for file, want := range map[string]bool{
		"":                                     false,
		"0::/user.slice" + name + "\n":         true,
		"9:pids:/\n0::" + name + "/nested/1\n": true,
		"0::" + name + " (deleted)\n":          true,
		"0::" + name + "1\n":                   false,
		"0::/hyperactor-3-X/6\n":               false,
	} {
		if got := hasGroup(file, name); got != want {
			t.Errorf("%q: got %v", file, got)
		}
	}
}

func TestParseKeyed(t *testing.T) {
	const events = "populated 1\nfrozen 0\noom_kill 12\noom_kill_disable 3\nbad x\n"
	for key, want := range map[string]int{"populated": 1, "frozen": 0, "oom_kill": 12, "none": 0, "bad": 0} {
		if got := parseKeyed(events, key); got != want {
			t.Errorf("%q: got %d, want %d", key, got, want)
		}
	}
}

func TestParsePIDs(t *testing.T) {
	if got := parsePIDs("1\n0\n23\n\nx\n-4\n"); !slices.Equal(got, []int{1, 23}) {
		t.Errorf("got %v", got)
	}
}
