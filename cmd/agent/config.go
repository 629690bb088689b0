package main

import (
	"context"
	"fmt"
	"io"

	"github.com/podbastion/podbastion/agent"
	"github.com/podbastion/podbastion/internal/cli"
)

func configReference(_ context.Context, args []string, out, _ io.Writer) error {
	if len(args) > 0 && args[0] != "--help" && args[0] != "-h" {
		return cli.Usage("takes no arguments")
	}
	fmt.Fprintf(out, "Settings of agent serve: flags override the environment, the environment overrides the file.\n\n")
	return agent.WriteReference(out)
}
