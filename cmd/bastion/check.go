package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/cli"
)

// check loads a roles document as serve would. Problems go to errOut as file:line:column: text, one a line and with
// nothing before them, so that editors can jump there.
func check(_ context.Context, args []string, out, errOut io.Writer) error {
	flags := pflag.NewFlagSet("check", pflag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() {
		fmt.Fprint(errOut, "bastion check ROLES\n\nLoads a roles document as serve does and says what is in it, or everything that is wrong with it.\n"+
			"Exit status: 0 it is good; 1 it cannot be read; 2 wrong usage; 3 it is refused.\n")
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return cli.Usage("%w", err)
	case flags.NArg() != 1:
		return cli.Usage("want one roles document, for example: bastion check roles.yaml")
	}
	data, err := readBounded(flags.Arg(0), auth.MaxDocument)
	if err != nil {
		return fmt.Errorf("cannot read roles document: %w", err)
	}
	doc, err := auth.Load(flags.Arg(0), data)
	if err != nil {
		fmt.Fprintln(errOut, err)
		return &cli.Error{Status: cli.StatusConfig}
	}
	return doc.WriteReport(out)
}

// readBounded reads at most one byte more than the limit, so that the loader sees that there is too much.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	return data, errors.Join(err, f.Close())
}
