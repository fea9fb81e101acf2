package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hyperactor/hyperactor/authority"
	"github.com/hyperactor/hyperactor/id"
)

// caUsage is the answer to "hyper ca -h".
const caUsage = `usage: hyper ca init  [--dir DIR] [--fleet NAME] [--valid D]
       hyper ca issue [--dir DIR] [--out DIR] [--valid D] HOST
       hyper ca show  [--json] [--within D] FILE...

Makes the certificates with which the hosts of a fleet know each other.

init makes the authority of a new fleet: DIR/ca.pem, and DIR/ca-key.pem, which
is all that it takes to join the fleet, so keep it where no host can read it.
What is there is never overwritten.

issue makes what HOST needs, in a directory of that name: cert.pem and key.pem
show who it is; with issuer.pem and issuer-key.pem it issues to the procs that it
starts, and to no others; ca.pem is what it checks its peers against. What is
there is replaced, and a host that has these files in use takes them up. The
directory of an authority is refused.

show prints what certificates say. Its exit code is 1 if one of them has expired,
is not valid yet, or ends within D.

flags:
  --dir DIR      where the authority is (ca)
  --fleet NAME   what the fleet is called: lower-case letters, digits, hyphens (main)
  --out DIR      where the directory HOST is made (.)
  --valid D      how long, as in 90d or 12h (init: 3650d; issue: 90d)
  --within D     fail for certificates that end so soon, as in 14d (0s)
  --json         print one JSON document

exit codes:
  0  done
  1  it could not be done, or a certificate is not valid, and why was said
  2  bad usage
`

// The defaults of --valid, in days.
const (
	authorityDays = 3650
	hostDays      = 90
)

const day = 24 * time.Hour

// errCAUsage is wrapped by the errors about a command line.
var errCAUsage = errors.New(`"hyper ca -h" says how it is used`)

func runCA(args []string, stdout, stderr io.Writer) int {
	err := ca(args, stdout)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, caUsage)
		return exitOK
	}
	fmt.Fprintln(stderr, "hyper ca:", err)
	if errors.Is(err, errCAUsage) {
		return exitUsage
	}
	return exitFailed
}

func ca(args []string, stdout io.Writer) error {
	what := ""
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	switch what {
	case "init":
		return caInit(args, stdout)
	case "issue":
		return caIssue(args, stdout)
	case "show":
		return caShow(args, stdout)
	case "help", "-h", "-help", "--help":
		return flag.ErrHelp
	case "":
		return fmt.Errorf("say init, issue or show; %w", errCAUsage)
	}
	return fmt.Errorf("%q: there are init, issue and show; %w", what, errCAUsage)
}

// caFlags returns a set of flags that says nothing by itself.
func caFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet("ca "+name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

func parseCA(fs *flag.FlagSet, args []string) error {
	err := fs.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return fmt.Errorf("%w; %w", err, errCAUsage)
	}
	return err
}

// validity defines --valid.
func validity(fs *flag.FlagSet, days int) *time.Duration {
	d := time.Duration(days) * day
	fs.Func("valid", "", func(s string) (err error) {
		d, err = parseValidity(s)
		return err
	})
	return &d
}

// parseValidity reads a number of days, as in 90d, or a time that Go writes. An
// hour more or less of summer time does not count: a day has 24 h.
func parseValidity(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		if err == nil && n > int(math.MaxInt64/day) {
			err = strconv.ErrRange
		}
		d = time.Duration(n) * day
	}
	if err != nil || d < time.Minute {
		return 0, errors.New("write a time of a minute or more, like 90d or 12h")
	}
	return d, nil
}

func caInit(args []string, stdout io.Writer) error {
	fs := caFlags("init")
	dir := fs.String("dir", "ca", "")
	fleet := fs.String("fleet", "main", "")
	valid := validity(fs, authorityDays)
	if err := parseCA(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("init takes no arguments, not %q; %w", fs.Args(), errCAUsage)
	}
	if err := authority.CheckFleet(*fleet); err != nil {
		return fmt.Errorf("--fleet: %w; %w", err, errCAUsage)
	}
	a, err := authority.New(*fleet, *valid)
	if err == nil {
		err = a.Save(*dir)
	}
	if errors.Is(err, authority.ErrExists) {
		return fmt.Errorf("--dir %q: %w", *dir, err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "fleet %s: made %s, valid until %s; keep %s where no host can read it\n",
		a.Fleet(), filepath.Join(*dir, "ca.pem"), date(a.Until()), filepath.Join(*dir, "ca-key.pem"))
	return err
}

func caIssue(args []string, stdout io.Writer) error {
	fs := caFlags("issue")
	dir := fs.String("dir", "ca", "")
	out := fs.String("out", ".", "")
	valid := validity(fs, hostDays)
	if err := parseCA(fs, args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return fmt.Errorf("issue takes one HOST, not %q, and flags come before it; %w", fs.Args(), errCAUsage)
	}
	host := fs.Arg(0)
	if err := id.CheckName(host); err != nil {
		return fmt.Errorf("HOST %w; %w", err, errCAUsage)
	}
	a, err := authority.Open(*dir)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("--dir %q: %w; hyper ca init makes an authority", *dir, err)
	}
	if err != nil {
		return fmt.Errorf("--dir %q: %w", *dir, err)
	}
	h, err := a.Host(host, *valid)
	if err != nil {
		return err
	}
	to := filepath.Join(*out, host)
	if err := h.Save(to); err != nil {
		return fmt.Errorf("--out %q: %w", *out, err)
	}
	_, until := h.Credentials.Valid()
	limited := ""
	if until.Equal(a.Until()) {
		limited = ", as long as the authority"
	}
	_, err = fmt.Fprintf(stdout, "fleet %s: host %s has its certificates in %s, valid until %s%s\n", a.Fleet(), host, to, date(until), limited)
	return err
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
