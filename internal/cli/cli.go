// Package cli runs a program's subcommands and turns their errors into exit statuses. It knows none of the commands.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// The exit statuses of bastion, agent and bastionctl.
const (
	OK            = 0
	StatusFailure = 1 // something went wrong at run time
	StatusUsage   = 2 // unknown command, flag or argument
	StatusConfig  = 3 // a configuration or roles file does not hold
	StatusDenied  = 4 // explain: the verdict is deny
	StatusUnknown = 5 // explain: no such account or target
)

// Command is one subcommand. Its error becomes the exit status: StatusFailure, or what an *Error says.
type Command struct {
	Name, Args, Help string
	Run              func(ctx context.Context, args []string, out, errOut io.Writer) error
}

// Program is a program with subcommands.
type Program struct {
	Name     string
	About    string // one line
	Commands []Command
	Statuses string // the exit statuses that it may end with, for its help
}

// Error carries an exit status other than StatusFailure.
type Error struct {
	Status int
	Err    error // nil: the command has said all there is to say
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Usage is an error of whoever called the command.
func Usage(format string, args ...any) error {
	return &Error{Status: StatusUsage, Err: fmt.Errorf(format, args...)}
}

// Version is the command that prints a program's version.
func Version(text string) Command {
	return Command{Name: "version", Help: "print the version", Run: func(_ context.Context, args []string, out, _ io.Writer) error {
		if len(args) > 0 {
			return Usage("takes no arguments")
		}
		_, err := fmt.Fprintln(out, text)
		return err
	}}
}

// Run runs the command that args name and returns the exit status.
func (p Program) Run(ctx context.Context, args []string, out, errOut io.Writer) int {
	if len(args) == 0 {
		p.usage(errOut)
		return StatusUsage
	}
	name := args[0]
	switch name {
	case "help", "-h", "--help":
		p.usage(out)
		return OK
	case "--version":
		name = "version"
	}
	for _, c := range p.Commands {
		if c.Name == name {
			return p.status(c, c.Run(ctx, args[1:], out, errOut), errOut)
		}
	}
	_, _ = fmt.Fprintf(errOut, "%s: unknown command %q; %[1]s help lists them\n", p.Name, name)
	return StatusUsage
}

func (p Program) status(c Command, err error, errOut io.Writer) int {
	if err == nil {
		return OK
	}
	status := StatusFailure
	if e := (*Error)(nil); errors.As(err, &e) {
		status = e.Status
		if e.Err == nil {
			return status
		}
	}
	_, _ = fmt.Fprintf(errOut, "%s %s: %v\n", p.Name, c.Name, err)
	return status
}

func (p Program) usage(w io.Writer) {
	_, _ = fmt.Fprintf(w, "%s: %s\n\nUsage:\n", p.Name, p.About)
	for _, c := range p.Commands {
		_, _ = fmt.Fprintf(w, "  %s %s %s\n        %s\n", p.Name, c.Name, c.Args, c.Help)
	}
	_, _ = fmt.Fprintf(w, "\nEvery command takes --help.\n\nExit status:\n  %s\n", p.Statuses)
}
