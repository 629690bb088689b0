package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/podbastion/podbastion/bastion/demo"
	"github.com/podbastion/podbastion/internal/cli"
)

func demoCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	o := demo.Options{Out: out, Log: errOut}
	flags := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&o.Dir, "dir", "demo", "folder for keys, roles, pods, audit log and recordings; used again the next time")
	flags.StringVar(&o.SSHAddr, "ssh-addr", "127.0.0.1:2222", "address that SSH clients connect to")
	flags.BoolVar(&o.Docker, "docker", false, "the local Docker Engine's labelled containers as pods, instead of pretend ones")
	flags.StringVar(&o.Host, "docker-host", "", "the engine's address; empty: as the docker command finds it")
	flags.Usage = func() {
		fmt.Fprint(errOut, "bastion demo [--dir DIR] [--ssh-addr ADDR] [--docker]\n\nA bastion and an agent in one process. Prints the ssh line to paste; ^C ends it.\n\n"+flags.FlagUsages())
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return cli.Usage("%w", err)
	case flags.NArg() > 0:
		return cli.Usage("unexpected argument %q", flags.Arg(0))
	}
	d, err := demo.New(o)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}
