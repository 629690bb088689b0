package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/internal/cli"
	"github.com/podbastion/podbastion/internal/pki"
)

// makePKI makes what is missing in a folder, and overwrites nothing: more nodes can be added later.
func makePKI(_ context.Context, args []string, out, errOut io.Writer) error {
	flags := pflag.NewFlagSet("pki", pflag.ContinueOnError)
	flags.SetOutput(errOut)
	dir := flags.String("dir", "pki", "folder to write to")
	nodes := flags.StringSlice("node", nil, "name of a node, as `kubectl get nodes` prints it; may be given more than once")
	flags.Usage = func() {
		fmt.Fprint(errOut, "agent pki --dir DIR --node NODE…\n\nMakes what is missing:\n"+
			"  ca.crt ca.key                  the authority; ca.key is needed here only\n"+
			"  bastion.crt bastion.key        for the bastion, with ca.crt and grant.key\n"+
			"  grant.key grant.pub            signs grants (bastion), verifies them (agents)\n"+
			"  agent-NODE.crt agent-NODE.key  for the agent on NODE, with ca.crt and grant.pub\n\n"+flags.FlagUsages())
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return cli.Usage("%w", err)
	case flags.NArg() > 0:
		return cli.Usage("unexpected argument %q", flags.Arg(0))
	}
	made, err := pki.Fill(*dir, *nodes...)
	if err != nil {
		return err
	}
	private, public := filepath.Join(*dir, "grant.key"), filepath.Join(*dir, "grant.pub")
	if _, err := os.Lstat(private); errors.Is(err, fs.ErrNotExist) {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		if err := errors.Join(grant.SavePrivateKey(private, key), grant.SavePublicKey(public, pub)); err != nil {
			return err
		}
		made = append(made, private)
	}
	for _, name := range made {
		fmt.Fprintln(out, name)
	}
	return nil
}
