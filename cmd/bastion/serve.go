package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/podbastion/podbastion/bastion"
	"github.com/podbastion/podbastion/internal/cli"
	"github.com/podbastion/podbastion/internal/oplog"
	"github.com/podbastion/podbastion/internal/settings"
)

func serve(ctx context.Context, args []string, out, errOut io.Writer) error {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.SetOutput(errOut)
	file := flags.String("config", "", "configuration file (YAML)")
	settings.AddFlags(flags, &bastion.Config{})
	flags.Usage = func() {
		fmt.Fprint(errOut, "bastion serve --config FILE [--SETTING VALUE]…\n\nSIGTERM drains, SIGHUP reads the roles document again.\n\n"+flags.FlagUsages())
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return cli.Usage("%w", err)
	case flags.NArg() > 0:
		return cli.Usage("unexpected argument %q", flags.Arg(0))
	}
	config, err := bastion.LoadConfig(settings.Source{File: *file, LookupEnv: os.LookupEnv, Flags: flags})
	if err != nil {
		return &cli.Error{Status: cli.StatusConfig, Err: err}
	}
	log, err := oplog.New(config.Log.Level, config.Log.Format, errOut)
	if err != nil {
		return &cli.Error{Status: cli.StatusConfig, Err: fmt.Errorf("bastion: %w", err)}
	}
	b, err := bastion.New(config, bastion.Parts{Log: log})
	if err != nil {
		return &cli.Error{Status: cli.StatusConfig, Err: err}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-hup:
				_ = b.Reload() // its outcome is in the log
			case <-stop:
				return
			}
		}
	}()
	fmt.Fprintf(out, "bastion: SSH on %s\n", b.Addr())
	return b.Run(ctx)
}
