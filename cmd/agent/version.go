package main

import (
	"context"
	"fmt"
	"io"

	"github.com/podbastion/podbastion/internal/buildinfo"
)

func version(_ context.Context, args []string, out, _ io.Writer) error {
	if len(args) > 0 {
		return usageError("takes no arguments")
	}
	_, err := fmt.Fprintln(out, buildinfo.String("agent"))
	return err
}
