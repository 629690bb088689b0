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
		return usageError("%w", err)
	case flags.NArg() > 0:
		return usageError("unexpected argument %q", flags.Arg(0))
	}
	for _, n := range *nodes {
		if n == pki.BastionName || n == "" || filepath.Base(n) != n {
			return usageError("%q cannot be a node's name", n)
		}
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	return fillPKI(*dir, *nodes, out)
}

func fillPKI(dir string, nodes []string, out io.Writer) error {
	at := func(name string) string { return filepath.Join(dir, name) }
	made := func(name string) { fmt.Fprintln(out, at(name)) }
	if missing(at("ca.crt")) {
		ca, err := pki.NewAuthority("podbastion")
		if err != nil {
			return err
		}
		if err := ca.Save(at("ca.crt"), at("ca.key")); err != nil {
			return err
		}
		made("ca.crt")
	}
	ca, err := pki.LoadAuthority(at("ca.crt"), at("ca.key"))
	if err != nil {
		return err
	}
	certs := map[string]string{"bastion": pki.BastionName}
	for _, n := range nodes {
		certs["agent-"+n] = n
	}
	for file, name := range certs {
		if !missing(at(file + ".crt")) {
			continue
		}
		if err := ca.Issue(name, at(file+".crt"), at(file+".key")); err != nil {
			return err
		}
		made(file + ".crt")
	}
	if !missing(at("grant.key")) {
		return nil
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	if err := errors.Join(grant.SavePrivateKey(at("grant.key"), private), grant.SavePublicKey(at("grant.pub"), public)); err != nil {
		return err
	}
	made("grant.key")
	return nil
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
