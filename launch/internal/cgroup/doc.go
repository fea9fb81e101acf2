// Package cgroup gives each process that a launcher starts a cgroup of its own:
// to find and kill what descends from it, wherever that has gone (PS-3), to
// bound what it uses (PS-7), and to learn whether the kernel killed some of it
// for want of memory.
//
// Trees are followed and killed in a hierarchy of version 2. A limit is set
// there if its controller is, else in a hierarchy of version 1. A process is
// born in its group of version 2; into one of version 1 it has to be moved
// before it runs.
//
// A launcher has one directory in each hierarchy, below the group that this
// process is in: hyperactor-PID-RANDOM, and in it one per child. It is locked as
// long as the launcher lives. Those of launchers that have died are removed by
// the next one, if they are empty: what still lives in there is not ours to
// judge.
package cgroup
