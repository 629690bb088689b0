package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/podbastion/podbastion/agent"
	"github.com/podbastion/podbastion/agent/daemon"
	"github.com/podbastion/podbastion/internal/cli"
	"github.com/podbastion/podbastion/internal/settings"
)

func serve(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.SetOutput(errOut)
	file := flags.String("config", "", "configuration file (YAML)")
	settings.AddFlags(flags, &agent.Config{})
	flags.Usage = func() {
		fmt.Fprint(errOut, "agent serve --config FILE [--SETTING VALUE]…\n\nSIGTERM drains.\n\n"+flags.FlagUsages())
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return cli.Usage("%w", err)
	case flags.NArg() > 0:
		return cli.Usage("unexpected argument %q", flags.Arg(0))
	}
	config, err := agent.LoadConfig(settings.Source{File: *file, LookupEnv: os.LookupEnv, Flags: flags})
	if err != nil {
		return &cli.Error{Status: cli.StatusConfig, Err: err}
	}
	d, err := daemon.New(config, errOut)
	if err != nil {
		return &cli.Error{Status: cli.StatusConfig, Err: err}
	}
	fmt.Fprintf(out, "agent: node %s on %s\n", config.Node, d.Addr())
	return d.Run(ctx)
}
