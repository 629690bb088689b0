// Command bastion is the SSH front door to pods. Each subcommand has a file of its own; what they compose is in
// package bastion.
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
		{"serve", "--config FILE", "run the bastion", serve},
		{"demo", "[--dir DIR] [--ssh-addr ADDR] [--docker]", "run a bastion with pretend pods; needs nothing else", demoCommand},
		{"check", "ROLES", "check a roles document", check},
		{"explain", "--roles ROLES --as ACCOUNT [--target CLUSTER/NS/POD[/CONTAINER]] [COMMAND]", "show what an account may do and why", explain},
		{"hash-password", "", "read a password and print its hash for the roles document", hashPassword},
		{"config", "", "print every setting with its default", configReference},
		{"version", "", "print the version", version},
	}
}

// exitError carries an exit status other than 1.
type exitError struct {
	code int
	err  error // nil: nothing more to say
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{code: exitcode.Usage, err: fmt.Errorf(format, args...)}
}

func main() {
	reaper.Main() // the demo's agent starts this program as a helper, which goes no further
	files.Main()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
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
		var exit *exitError
		code := exitcode.Failure
		if errors.As(err, &exit) {
			code = exit.code
			err = exit.err
		}
		if err != nil {
			fmt.Fprintf(errOut, "bastion %s: %v\n", c.name, err)
		}
		return code
	}
	fmt.Fprintf(errOut, "bastion: unknown command %q; bastion help lists them\n", args[0])
	return exitcode.Usage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "bastion: ssh account+pod@bastion opens a shell in a pod\n\nUsage:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  bastion %s %s\n        %s\n", c.name, c.args, c.help)
	}
	fmt.Fprint(w, "\nEvery command takes --help.\n\nExit status:\n"+
		"  0 done; 1 failed; 2 wrong usage; 3 configuration or roles document refused;\n"+
		"  4 explain: denied; 5 explain: no such account or target\n")
}
