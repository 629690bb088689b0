// Command bastionctl works on what a bastion leaves behind: recordings and logs. Each subcommand has a file of its own.
package main

import (
	"context"
	"os"

	"github.com/podbastion/podbastion/internal/buildinfo"
	"github.com/podbastion/podbastion/internal/cli"
)

func program() cli.Program {
	return cli.Program{
		Name: "bastionctl", About: "works on what a bastion leaves behind",
		Statuses: "0 done; 1 failed; 2 wrong usage",
		Commands: []cli.Command{
			{Name: "parse", Args: "[FILE.cast]", Help: "print the command lines of a recording with keys as a JSON array; - or nothing is standard input", Run: parse},
			cli.Version(buildinfo.String("bastionctl")),
		},
	}
}

func main() { os.Exit(program().Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }
