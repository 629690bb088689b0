// Command bastion is the SSH front door to pods. Each subcommand has a file of its own; what they compose is in
// package bastion.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/reaper"
	"github.com/podbastion/podbastion/internal/buildinfo"
	"github.com/podbastion/podbastion/internal/cli"
)

func program() cli.Program {
	return cli.Program{
		Name: "bastion", About: "ssh account+pod@bastion opens a shell in a pod",
		Statuses: "0 done; 1 failed; 2 wrong usage; 3 configuration or roles document refused;\n  4 explain: denied; 5 explain: no such account or target",
		Commands: []cli.Command{
			{Name: "serve", Args: "--config FILE", Help: "run the bastion", Run: serve},
			{Name: "demo", Args: "[--dir DIR] [--ssh-addr ADDR] [--docker]", Help: "run a bastion with pretend pods; needs nothing else", Run: demoCommand},
			{Name: "check", Args: "ROLES", Help: "check a roles document", Run: check},
			{Name: "explain", Args: "--roles ROLES --as ACCOUNT [--target CLUSTER/NS/POD[/CONTAINER]] [COMMAND]", Help: "show what an account may do and why", Run: explain},
			{Name: "hash-password", Args: "", Help: "read a password and print its hash for the roles document", Run: hashPassword},
			{Name: "config", Args: "", Help: "print every setting with its default", Run: configReference},
			cli.Version(buildinfo.String("bastion")),
		},
	}
}

func main() {
	reaper.Main() // the demo's agent starts this program as a helper, which goes no further
	files.Main()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status := program().Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
