package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Fill makes what is missing in a folder, and overwrites nothing: the authority (ca.crt, ca.key), the bastion's
// certificate (bastion.crt, .key) and one for each node's agent (agent-NODE.crt, .key). It returns the certificates
// that it made.
func Fill(dir string, nodes ...string) (made []string, err error) {
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	if missing(at("ca.crt")) {
		ca, err := NewAuthority("podbastion")
		if err != nil {
			return nil, err
		}
		if err := ca.Save(at("ca.crt"), at("ca.key")); err != nil {
			return nil, err
		}
		made = append(made, at("ca.crt"))
	}
	ca, err := LoadAuthority(at("ca.crt"), at("ca.key"))
	if err != nil {
		return made, err
	}
	certs := map[string]string{"bastion": BastionName}
	for _, n := range nodes {
		if n == BastionName || n == "" || filepath.Base(n) != n {
			return made, fmt.Errorf("pki: %q cannot be a node's name", n)
		}
		certs["agent-"+n] = n
	}
	for file, name := range certs {
		if !missing(at(file + ".crt")) {
			continue
		}
		if err := ca.Issue(name, at(file+".crt"), at(file+".key")); err != nil {
			return made, err
		}
		made = append(made, at(file+".crt"))
	}
	return made, nil
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
