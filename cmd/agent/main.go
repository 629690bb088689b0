// Command agent runs on every node and executes in its containers on the bastion's word. Each subcommand has a file of
// its own; what serve composes is in package agent.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/reaper"
	"github.com/podbastion/podbastion/internal/exitcode"
)

// command is one subcommand. It returns nil or an error that main turns into an exit status.
type command struct {
	name, args, help string
	run              func(ctx context.Context, args []string, out, errOut io.Writer) error
}

func commands() []command {
	return []command{
		{"serve", "--config FILE", "run the agent", serve},
		{"pki", "--dir DIR --node NODE…", "make the certificates and the grant key that bastion and agents know each other by", makePKI},
		{"config", "", "print every setting with its default", configReference},
		{"version", "", "print the version", version},
	}
}

// exitError carries an exit status other than 1.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{code: exitcode.Usage, err: fmt.Errorf(format, args...)}
}

func main() {
	reaper.Main() // where this process is one of the agent's own helpers, it goes no further
	files.Main()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	if len(args) == 0 {
		usage(errOut)
		return exitcode.Usage
	}
	switch args[0] {
	case "help", "-h", "--help":
		usage(out)
		return exitcode.OK
	case "--version":
		args[0] = "version"
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:], out, errOut)
		if err == nil {
			return exitcode.OK
		}
		fmt.Fprintf(errOut, "agent %s: %v\n", c.name, err)
		var exit *exitError
		if errors.As(err, &exit) {
			return exit.code
		}
		return exitcode.Failure
	}
	fmt.Fprintf(errOut, "agent: unknown command %q; agent help lists them\n", args[0])
	return exitcode.Usage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "agent: executes in this node's containers on the bastion's word\n\nUsage:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  agent %s %s\n        %s\n", c.name, c.args, c.help)
	}
	fmt.Fprint(w, "\nEvery command takes --help.\n\nExit status:\n  0 done; 1 failed; 2 wrong usage; 3 configuration refused\n")
}
