// Command bastionctl works on what a bastion leaves behind: recordings and logs. Each subcommand has a file of its own.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/podbastion/podbastion/internal/exitcode"
)

type command struct {
	name, args, help string
	run              func(args []string, in io.Reader, out io.Writer) error
}

func commands() []command {
	return []command{
		{"parse", "[FILE.cast]", "print the command lines of a recording with keys as a JSON array; - or nothing is standard input", parse},
	}
}

// errUsage marks an error of the caller.
type errUsage string

func (e errUsage) Error() string { return string(e) }

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in io.Reader, out, errOut io.Writer) int {
	if len(args) == 0 {
		usage(errOut)
		return exitcode.Usage
	}
	switch args[0] {
	case "help", "-h", "--help":
		usage(out)
		return exitcode.OK
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(args[1:], in, out)
		if err == nil {
			return exitcode.OK
		}
		_, _ = fmt.Fprintf(errOut, "bastionctl %s: %v\n", c.name, err)
		if usage := errUsage(""); errors.As(err, &usage) {
			return exitcode.Usage
		}
		return exitcode.Failure
	}
	_, _ = fmt.Fprintf(errOut, "bastionctl: unknown command %q; bastionctl help lists them\n", args[0])
	return exitcode.Usage
}

func usage(w io.Writer) {
	_, _ = fmt.Fprint(w, "Usage:\n")
	for _, c := range commands() {
		_, _ = fmt.Fprintf(w, "  bastionctl %s %s\n        %s\n", c.name, c.args, c.help)
	}
}
