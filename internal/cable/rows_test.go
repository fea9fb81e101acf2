package cable

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var writeList = flag.Bool("write", false, "write the list of rows into README.md")

// row is a fault of networks or protocols and where it is tested. The numbers
// are those of internal/torture, which has the faults of processes and hosts.
type row struct {
	number int
	name   string
	by     string // tests, each with its directory; those here have none
	not    string // what is not tested, and why
}

// rows returns the faults of networks and protocols.
func rows() []row {
	const controllers = "there are no controllers yet"
	return []row{
		{90, "a frame is truncated at every byte", "channel.TestMS5BreakAtEveryByte channel.TestMS5BreaksDuringResume internal/sim.TestMS1ToMS14Seeds", ""},
		{91, "a length of 2^32-1", "wire.FuzzHeader channel.TestHelloIsBounded channel.TestBrokenFramingEndsTheSession TestRealGarbage", ""},
		{92, "a bit is flipped", "TestRealBadLine wire.FuzzDecode channel.TestMS8BrokenFramingCostsOneConnection", "tcp in plain text has the checksums of TCP and no others; tls has one of its own"},
		{93, "frames are duplicated or reordered", "channel.TestMS5DuplicatesAreDropped channel.TestBrokenFramingEndsTheSession", ""},
		{94, "something else speaks on our port", "TestRealGarbage channel/mtls.TestOtherProtocols gateway.TestGarbageCostsOneConnection", ""},
		{95, "versions differ", "channel.TestMS8VersionSkew wire.TestVersionErrorNamesBoth", ""},
		{96, "random bytes for every decoder", "wire.FuzzHeader wire.FuzzHello wire.FuzzDecode wire.FuzzUnmarshal", ""},
		{97, "slow handshakes", "gateway.TestHalfOpenConnectionsStopNobody", ""},
		{98, "a slow reader", "channel.TestRealSlowReader channel.TestSlowReaderBlocksOnlyUntilCtx gateway.TestSlowPeerBlocksOnlyItsSenders", ""},
		{99, "a slow writer of a large body", "", "the admin service is a later issue"},
		{100, "a peer vanishes", "TestRealPeerVanishes channel.TestMS11HalfOpen", ""},
		{101, "only one direction is cut", "TestRealOneWayCut", ""},
		{102, "a line flaps", "TestRealFlappingLine channel.TestMS5FlappingForAMinute", ""},
		{103, "a reset, or the end, in the middle", "TestRealResets channel.TestMS5ResumesAfterABreak", ""},
		{104, "delay, loss, duplicates, corruption", "TestRealBadLine", ""},
		{105, "1 Mbit/s", "TestRealNarrowLine", ""},
		{106, "a receiver restarts between receiving and acknowledging", "TestRealReceiverDies TestRealRestart channel.TestMS6RestartedPeerOnTheSameAddress", ""},
		{107, "a sender restarts with messages under way", "TestRealSenderDies", ""},
		{108, "acknowledgements are lost, of the future, going back", "channel.TestMS8AcknowledgementsThatLie channel.TestMS5Model TestRealReceiverDies", ""},
		{109, "numbers wrap", "", "they do not: 2^64 messages take a hundred thousand years"},
		{110, "10,000 messages over reconnects", "TestRealResets TestRealFlappingLine channel.TestMS5Model", ""},
		{111, "two controllers", "", controllers},
		{112, "an unreachable host is not a dead one", "gateway.TestLostIsNotEnded TestRealFullCut", "the status of procs on a host that is cut off: " + controllers},
		{113, "a host returns after it was given up", "", controllers},
		{114, "100 hosts lose their host and come back", "internal/sim.TestMS5MassReconnect", ""},
		{115, "a peer has another address", "channel/mtls.TestPeersOfOneFleetMeet", "names are resolved at each attempt, but no test changes one"},
		{116, "a socket's path is removed, replaced, too long, of another owner", "channel.TestRealUnixIsPrivate", ""},
		{117, "certificates are expired, wrong, renewed", "channel/mtls.TestStrangersWhoConnect channel/mtls.TestStrangersWhoAnswer channel/mtls.TestNotYetValid channel/mtls.TestRotation", ""},
		{118, "a token is replayed", "channel/mtls.TestReplay authority.TestStolenIssuer", ""},
		{119, "deep nesting, many elements", "wire.TestCodecRefuses wire.FuzzUnmarshal", ""},
		{120, "no ports are left", "", "a machine's own ports are not ours to use up; a failed dial is tried again like any other"},
	}
}

// TestRows checks that the tests in rows exist, and that README.md lists the rows.
func TestRows(t *testing.T) {
	for i, r := range rows() {
		if r.number != 90+i {
			t.Errorf("row %d comes where %d is expected", r.number, 90+i)
		}
		if r.by == "" && r.not == "" {
			t.Errorf("row %d: no test, and no word about it", r.number)
		}
		for _, name := range strings.Fields(r.by) {
			if !exists(t, name) {
				t.Errorf("row %d: there is no test %s", r.number, name)
			}
		}
	}
	const file, begin = "README.md", "| | fault |"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), begin)
	want := before + table()
	if *writeList {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is not what the rows say: run go test ./internal/cable -run TestRows -write", file)
	}
}

// exists reports whether there is a test; its name begins with its directory
// and a dot, unless it is here.
func exists(t *testing.T, name string) bool {
	t.Helper()
	dir, test, elsewhere := strings.Cut(name, ".")
	if !elsewhere {
		dir, test = "internal/cable", name
	}
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}

// table returns the rows for people.
func table() string {
	var b strings.Builder
	b.WriteString("| | fault | tests | not tested |\n| --- | --- | --- | --- |\n")
	for _, r := range rows() {
		tests := strings.Fields(r.by)
		for i := range tests {
			tests[i] = "`" + tests[i] + "`"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", r.number, r.name, strings.Join(tests, ", "), r.not)
	}
	return b.String()
}
