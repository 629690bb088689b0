package main

import (
	"context"
	"fmt"
	"io"

	"github.com/podbastion/podbastion/internal/buildinfo"
	"github.com/podbastion/podbastion/internal/cli"
)

func version(_ context.Context, args []string, out, _ io.Writer) error {
	if err := cli.NoArguments(args); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, buildinfo.String("agent"))
	return err
}
