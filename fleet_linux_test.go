package hyperactor_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/host"
	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/internal/versus"
	"github.com/hyperactor/hyperactor/launch/capture"
)

// fleetSize is how many processes the benchmarks of a fleet have.
const fleetSize = 500

// newFleet starts a host of commands.
func newFleet(tb testing.TB, cfg hyperactor.Config) *hyperactor.Runtime {
	tb.Helper()
	cfg.Grace = 30 * time.Second
	cfg.Manager = func(p hyperactor.Parts) host.ProcManager {
		return cmdproc.New(cmdproc.Config{
			Host: p.Host, Service: p.Service, Gateway: p.Gateway, Launcher: p.Launcher, Mark: p.Mark, Streams: p.Streams,
		})
	}
	rt, err := hyperactor.Start(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := rt.Close(); err != nil {
			tb.Error(err)
		}
	})
	return rt
}

// man starts n sleeping procs, eight at a time as a host does by default, and
// waits for all to run.
func man(tb testing.TB, rt *hyperactor.Runtime, n int) {
	tb.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if _, err := rt.Host().Spawn(context.Background(), host.ProcSpec{
					Name: "sleep-" + strconv.Itoa(i), Program: "/bin/sleep", Args: []string{"1000"},
				}); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
}

// manBare starts n sleeping processes as a plain Go program does.
func manBare(tb testing.TB, n int) []*exec.Cmd {
	tb.Helper()
	cmds := make([]*exec.Cmd, n)
	for i := range cmds {
		cmds[i] = exec.Command("/bin/sleep", "1000")
		if err := cmds[i].Start(); err != nil {
			tb.Fatal(err)
		}
	}
	return cmds
}

// ways are the launchers that a fleet can have.
var ways = []struct {
	name   string
	keeper hyperactor.Keeper
}{{"keeper", hyperactor.WithKeeper}, {"native", hyperactor.NoKeeper}}

// BenchmarkRealFleetStart spawns 500 procs of sleep, against a loop of fork and
// exec.
func BenchmarkRealFleetStart(b *testing.B) {
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			rt := newFleet(b, hyperactor.Config{Keeper: way.keeper})
			var v versus.Pair
			for b.Loop() {
				v.Add(
					func() time.Duration {
						took := versus.Time(func() { man(b, rt, fleetSize) })
						rt.Host().TerminateAll(context.Background(), time.Minute, 0, "done")
						return took
					},
					func() time.Duration {
						var cmds []*exec.Cmd
						took := versus.Time(func() { cmds = manBare(b, fleetSize) })
						stopBare(cmds)
						return took
					})
			}
			v.Report(b)
		})
	}
}

// stopBare asks all to stop and waits for them.
func stopBare(cmds []*exec.Cmd) {
	for _, c := range cmds {
		c.Process.Signal(syscall.SIGTERM)
	}
	for _, c := range cmds {
		c.Wait()
	}
}

// BenchmarkRealFleetStop stops 500 obedient procs, against a loop of signals
// and waits.
func BenchmarkRealFleetStop(b *testing.B) {
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			rt := newFleet(b, hyperactor.Config{Keeper: way.keeper})
			var v versus.Pair
			for b.Loop() {
				v.Add(
					func() time.Duration {
						man(b, rt, fleetSize)
						return versus.Time(func() {
							if sum := rt.Host().TerminateAll(context.Background(), time.Minute, 0, "done"); sum.Failed() > 0 {
								b.Fatal(sum)
							}
						})
					},
					func() time.Duration {
						cmds := manBare(b, fleetSize)
						return versus.Time(func() { stopBare(cmds) })
					})
			}
			v.Report(b)
		})
	}
}

// torrent writes 256 MiB of lines as fast as it can.
const torrent = "yes 'a line of output of the usual length, some sixty bytes of it.' | head -c 268435456"

// BenchmarkRealCapture captures the output of one proc at full speed, against
// cat from a pipe into a file: the time of both, and the CPU time of the host
// over that of cat.
func BenchmarkRealCapture(b *testing.B) {
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			dir := b.TempDir()
			rt := newFleet(b, hyperactor.Config{Keeper: way.keeper, Logs: capture.Config{
				Path: filepath.Join(dir, "logs"), MaxBytes: 512 << 20, MaxFiles: 2, PackAfter: -1,
			}})
			var v versus.Pair
			var ours, bare time.Duration
			turn := 0
			for b.Loop() {
				v.Add(
					func() time.Duration {
						turn++
						before := usage(b, syscall.RUSAGE_SELF)
						took := versus.Time(func() { captured(b, rt, "torrent-"+strconv.Itoa(turn)) })
						ours += usage(b, syscall.RUSAGE_SELF) - before
						sweepLogs(b, dir)
						return took
					},
					func() time.Duration {
						return versus.Time(func() { bare += catted(b, filepath.Join(dir, "bare")) })
					})
			}
			v.Report(b)
			b.ReportMetric(float64(ours)/float64(bare), "cpu-ratio")
		})
	}
}

// captured runs the torrent as a proc.
func captured(b *testing.B, rt *hyperactor.Runtime, name string) {
	h, err := rt.Host().Spawn(context.Background(), host.ProcSpec{Name: name, Program: "/bin/sh", Args: []string{"-c", torrent}})
	if err != nil {
		b.Fatal(err)
	}
	if e, err := h.Wait(context.Background()); err != nil || !e.OK() {
		b.Fatal(e, err)
	}
}

// sweepLogs removes what was captured; the proc has ended.
func sweepLogs(b *testing.B, dir string) {
	all, err := filepath.Glob(filepath.Join(dir, "logs", "torrent-*"))
	if err != nil {
		b.Fatal(err)
	}
	var total int64
	for _, path := range all {
		if info, err := os.Stat(path); err == nil && strings.HasSuffix(path, ".log") {
			total += info.Size()
		}
		os.Remove(path)
	}
	if total != 256<<20 {
		b.Fatalf("captured %d bytes", total)
	}
}

// catted runs the torrent into cat, and cat into a file. It returns the CPU
// time of cat.
func catted(b *testing.B, path string) time.Duration {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(path)
	defer f.Close()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	source, cat := exec.Command("/bin/sh", "-c", torrent), exec.Command("cat")
	source.Stdout, cat.Stdin, cat.Stdout = w, r, f
	for _, c := range []*exec.Cmd{source, cat} {
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
	}
	w.Close()
	r.Close()
	for _, c := range []*exec.Cmd{source, cat} {
		if err := c.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	return cat.ProcessState.UserTime() + cat.ProcessState.SystemTime()
}

func usage(b *testing.B, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRealFleetIdle reports what a host with 500 idle procs costs: memory
// of the host and its keeper for each proc, their threads, and how often they
// wake up in a second.
func BenchmarkRealFleetIdle(b *testing.B) {
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				idle(b, newFleet(b, hyperactor.Config{Keeper: way.keeper}))
			}
		})
	}
}

func idle(b *testing.B, rt *hyperactor.Runtime) {
	man(b, rt, 1) // with it comes the keeper
	watched := append(keepers(b, rt), os.Getpid())
	runtime.GC()
	before := total(b, watched, "smaps_rollup", "Pss:")
	for i := range fleetSize {
		if _, err := rt.Host().Spawn(context.Background(), host.ProcSpec{
			Name: "idle-" + strconv.Itoa(i), Program: "/bin/sleep", Args: []string{"1000"},
		}); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	settled := time.NewTimer(3 * time.Second) // the runtimes of host and keeper go to rest
	<-settled.C
	b.ReportMetric(float64(total(b, watched, "smaps_rollup", "Pss:")-before)/fleetSize, "KiB/proc")
	b.ReportMetric(float64(total(b, watched, "status", "Threads:")), "threads")
	const span = 5 * time.Second
	wakes := switches(b, watched)
	<-time.NewTimer(span).C
	b.ReportMetric(float64(switches(b, watched)-wakes)/span.Seconds(), "wakeups/s")
	b.ReportMetric(0, "ns/op")
	if err := rt.Close(); err != nil {
		b.Fatal(err)
	}
}

// keepers returns the pids of the processes between the host and its procs.
func keepers(b *testing.B, rt *hyperactor.Runtime) []int {
	all, err := rt.Descendants()
	if err != nil {
		b.Fatal(err)
	}
	var pids []int
	for _, pid := range all {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && !strings.Contains(exe, "sleep") && !strings.Contains(exe, "coreutils") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// total adds up one field of a file in /proc/PID of all pids.
func total(b *testing.B, pids []int, file, field string) (sum int) {
	for _, pid := range pids {
		sum += number(b, fmt.Sprintf("/proc/%d/%s", pid, file), field)
	}
	return sum
}

// switches counts how often the threads of pids have waited so far.
func switches(b *testing.B, pids []int) (sum int) {
	for _, pid := range pids {
		all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil {
			b.Fatal(err)
		}
		for _, path := range all {
			sum += number(b, path, "voluntary_ctxt_switches:")
		}
	}
	return sum
}

func number(b *testing.B, path, field string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if words := strings.Fields(string(line)); len(words) > 1 && words[0] == field {
			n, err := strconv.Atoi(words[1])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("%s has no %s", path, field)
	return 0
}
