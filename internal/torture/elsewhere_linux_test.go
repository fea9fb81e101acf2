package torture

// networkRows are the cases about messages. They belong to the packages that
// carry them; the README of internal/cable says which tests those are.
func networkRows() []row {
	const messages = "about messages: the README of internal/cable names its tests"
	return []row{
		{number: 90, name: "truncated frame", done: "a frame cut at every byte", holds: "a clean error", elsewhere: messages},
		{number: 91, name: "oversize length", done: "a length of 2^32-1", holds: "closed before anything is allocated", elsewhere: messages},
		{number: 92, name: "flipped bit", done: "a bit flipped anywhere", holds: "no wrong message", elsewhere: messages},
		{number: 93, name: "duplicated frames", done: "frames twice, or in another order", holds: "handlers see neither", elsewhere: messages},
		{number: 94, name: "garbage handshake", done: "something else speaks on our port", holds: "closed soon, one line in the log", elsewhere: messages},
		{number: 95, name: "version skew of peers", done: "peers of other versions", holds: "negotiated or refused", elsewhere: messages},
		{number: 96, name: "fuzzed decoders", done: "random bytes for every decoder", holds: "no panic", elsewhere: messages},
		{number: 97, name: "slow handshakes", done: "5000 connections of one byte a second", holds: "real peers connect", elsewhere: messages},
		{number: 98, name: "slow subscriber", done: "a reader of one byte a second", holds: "others flow", elsewhere: messages},
		{number: 99, name: "slow writer of a body", done: "a slow request to the admin service", holds: "a timeout", elsewhere: "the admin service is a later issue"},
		{number: 100, name: "peer vanishes", done: "a partition", holds: "seen in three heartbeats", elsewhere: messages},
		{number: 101, name: "one-way partition", done: "only one direction works", holds: "both sides agree", elsewhere: messages},
		{number: 102, name: "flapping link", done: "on and off every 100 ms", holds: "no duplicate, no gap", elsewhere: messages},
		{number: 103, name: "reset in the middle", done: "RST and FIN inside a frame", holds: "the session goes on", elsewhere: messages},
		{number: 104, name: "bad link", done: "delay, loss, duplicates", holds: "all arrives", elsewhere: messages},
		{number: 105, name: "narrow link", done: "1 Mbit", holds: "heartbeats are not starved", elsewhere: messages},
		{number: 106, name: "receiver restarts before the ack", done: "a receiver is killed", holds: "perhaps delivered, and it says so", elsewhere: messages},
		{number: 107, name: "sender restarts", done: "a sender is killed with unacknowledged messages", holds: "a new session from 0", elsewhere: messages},
		{number: 108, name: "wrong acks", done: "lost, of the future, going back", holds: "sent again, an error, ignored", elsewhere: messages},
		{number: 109, name: "numbers wrap", done: "a start near 2^64", holds: "nothing happens", elsewhere: messages},
		{number: 110, name: "reconnect with a queue", done: "10000 messages over reconnects", holds: "order and count", elsewhere: messages},
		{number: 111, name: "two controllers", done: "a split brain", holds: "the older one is refused", elsewhere: "controllers are a later issue"},
		{number: 112, name: "unreachable host", done: "a host is cut off", holds: "unreachable, not dead", elsewhere: messages},
		{number: 113, name: "host returns", done: "it comes back after it was given up", holds: "no two live copies", elsewhere: messages},
		{number: 114, name: "mass restart", done: "100 hosts restart", holds: "no storm", elsewhere: messages},
		{number: 115, name: "peer moves", done: "another address for a name", holds: "identity by certificate", elsewhere: messages},
		{number: 116, name: "socket path", done: "removed, replaced, too long, of another owner", holds: "clear errors", elsewhere: messages},
		{number: 117, name: "certificates", done: "expired, wrong, renewed", holds: "refused, or goes on", elsewhere: messages},
		{number: 118, name: "replayed token", done: "the token of another proc", holds: "refused", elsewhere: messages},
		{number: 119, name: "deep nesting", done: "nested and huge values", holds: "a limit error", elsewhere: messages},
		{number: 120, name: "no ports", done: "all ephemeral ports are used", holds: "an error and back-off", elsewhere: messages},
	}
}

// systemRows are the cases about whole systems.
func systemRows() []row {
	return []row{
		{number: 69, name: "keeper dies", with: onlyKeeper,
			done:  "SIGKILL to the keeper, to the guard, to both, and to each while it is stopped, with trees of all kinds running",
			holds: "within 3 s nothing of it is left; exits are right or Unknown; the next launch works",
			run:   keeperDies},
		{number: 69, name: "keeper or guard stopped", with: onlyKeeper, slow: true,
			done:  "SIGSTOP to the keeper, and to the guard, and nobody continues it; a child is killed, another one is launched, the program ends",
			holds: "the exit comes and the launch ends within 20 s, and nothing is left",
			run:   keeperStopped},
		{number: 70, name: "host and keeper die", with: onlyKeeper,
			done:  "SIGKILL at once to two of host, guard and keeper",
			holds: "whoever is left kills the rest",
			run: func(f *fixture) {
				hostAndKeeperDie(f, "host", "host keeper", "host guard", "keeper guard", "keeper host", "guard host")
			}},
		{number: 70, name: "host, guard and keeper die", with: onlyIsolated,
			done:  "SIGKILL to all three at once, in any order",
			holds: "the PID namespace ends with the guard: within 3 s nothing is left",
			run: func(f *fixture) {
				hostAndKeeperDie(f, "host keeper guard", "guard keeper host", "keeper guard host", "host", "keeper", "guard")
			}},
		{number: 122, name: "fleet in virtual time", done: "100 hosts of 20 procs, all faults, 10000 seeds", holds: "all invariants", elsewhere: "needs hosts in virtual time; a later issue"},
		{number: 124, name: "power loss", done: "a machine loses its power", holds: "records are consistent", elsewhere: "needs a virtual machine"},
		{number: 125, name: "modes of the runtime", done: "race detector, shuffled, many processors", holds: "green", elsewhere: "how the tests are run, not a test"},
		{number: 126, name: "other machines", done: "32 bits, arm64, darwin", holds: "it compiles", elsewhere: "how the project is built, not a test"},
	}
}
