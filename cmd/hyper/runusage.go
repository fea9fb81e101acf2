package main

// runUsage is the answer to "hyper run -h".
const runUsage = `usage: hyper run [flags] -- COMMAND [ARG...]

Runs COMMAND in the foreground as a set of supervised procs, and ends when all
of them have ended for good. {rank} in ARG, --env, --dir and in a PROBE is
replaced by the rank of each proc, which counts from 0.

procs:
  -n N                  how many procs, 1 to 1024 (1)
  --name NAME           what they are called (the name of COMMAND)

restart:
  --restart WHEN        never, on-failure or always (never)
  --max-restarts N      give a proc up after N restarts in a row that did not last
                        for 30 s, or "unlimited" (9; 2 if it was never ready)
  --within D            count all restarts within a running time of D instead
  --backoff MIN..MAX    delay before a restart, doubled from time to time (500ms..60s)
  --grace D             time to end on request before the kill, in total (10s)

health:
  --ready PROBE         when a proc is ready (process)
  --ready-timeout D     a proc that is not ready by then is killed (30s)
  --live PROBE          what a proc that works passes; who fails is stopped
  --live-every D        how often that is asked (10s)
  --live-failures N     how many misses in a row are a failure (3)
  PROBE is one of       process, log=REGEXP, tcp=HOST:PORT, http=URL, grpc=ADDR,
                        notify (sd_notify; --live notify: a watchdog), exec=COMMAND

process:
  --dir DIR             working directory
  --env K=V             add to the environment; may be repeated
  --clear-env           start with an empty environment
  --user U[:G]          run as this user, by name or number
  --cpus LIST           run on these CPUs only, as in 0-3,5
  --memory BYTES        memory of each proc with all it starts, as in 512M
  --pids N              processes and threads of each proc
  --rlimit NAME=SOFT[:HARD]
                        a resource limit, as in nofile=1024:4096; may be repeated
  --nice N              niceness, -20 to 19

output:
  --logs DIR            keep the output in files, too
  --log-size BYTES      size of a file before the next one is begun (64M)
  --log-files N         how many files are kept of each stream (5)
  --prefix WHEN         name[rank] before each line: auto, always or never
                        (auto: on a terminal)
  --events FILE         append a JSON object per event of a proc; - is stdout, and
                        stdout of the procs goes to stderr then

The environment of each proc has HYPER_NAME, HYPER_RANK and HYPER_SIZE. Its
stdin is empty. A process that it leaves behind is killed when it ends.

Output that nobody takes holds up who writes it, as in a pipeline, but it does not
hold up a stop. Prefixed lines stay whole; other bytes go on as they come.

SIGINT, SIGTERM, SIGHUP or a closed stdout stops all procs within the grace, a
second SIGINT kills them.
SIGUSR1, or ENTER on a terminal, prints a table of the procs on stderr.

The exit code is 0 if every proc has ended with 0, asked to or not, and otherwise
that of the failed one with the lowest rank, 128+N if signal N has ended it. 125
is an error of hyper run itself, or a proc that ended with 0 and has failed
nevertheless; 126 a COMMAND that cannot be run, 127 one that is not found.
`
