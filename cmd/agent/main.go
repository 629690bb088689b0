// Command agent runs on every node and executes in its containers on the bastion's word. Each subcommand has a file of
// its own; what serve composes is in package agent.
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
		Name: "agent", About: "executes in this node's containers on the bastion's word",
		Statuses: "0 done; 1 failed; 2 wrong usage; 3 configuration refused",
		Commands: []cli.Command{
			{Name: "serve", Args: "--config FILE", Help: "run the agent", Run: serve},
			{Name: "pki", Args: "--dir DIR --node NODE…", Help: "make the certificates and the grant key that bastion and agents know each other by", Run: makePKI},
			{Name: "config", Args: "", Help: "print every setting with its default", Run: configReference},
			cli.Version(buildinfo.String("agent")),
		},
	}
}

func main() {
	reaper.Main() // where this process is one of the agent's own helpers, it goes no further
	files.Main()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status := program().Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
