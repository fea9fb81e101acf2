// Command hyper is what one does with Hyperactor from a terminal. Each of its
// subcommands has a file of its own; "hyper help" lists them.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/hyperactor/hyperactor"
	"github.com/hyperactor/hyperactor/actor"
)

// command is one subcommand. run gets the arguments after its name and returns
// the exit code.
type command struct {
	name, short string
	run         func(args []string, stdout, stderr io.Writer) int
}

func commands() []command {
	return []command{
		{"demo", "count the words of a directory in many procs, and kill some", runDemo},
		{"run", "run a command as a set of supervised procs", runRun},
		{"ca", "make the certificates of a fleet", runCA},
		{"version", "print which build this is", runVersion},
	}
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	hyperactor.RunChild(hyperactor.Config{Types: types()}) // does not return in a proc
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// types are the actors that procs of this program can be asked for.
func types() []actor.AnyType { return []actor.AnyType{readerType} }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if len(args) == 1 || args[1] == "help" {
			usage(stdout)
			return exitOK
		}
		args = []string{args[1], "-h"}
	case "-version", "--version":
		args = []string{"version"}
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "hyper: there is no subcommand %q\n\n", args[0])
	usage(stderr)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: hyper SUBCOMMAND [flags] [arguments]\n\nsubcommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.short)
	}
	fmt.Fprint(w, "  help     print this, or what \"hyper help SUBCOMMAND\" asks for\n\n\"hyper SUBCOMMAND -h\" explains one.\n")
}
