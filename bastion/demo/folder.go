package demo

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/bastion/sshd"
	"github.com/podbastion/podbastion/internal/pki"
)

// prepare makes what is missing in the demo's folder.
func prepare(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "recordings"), 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if _, err := pki.Fill(filepath.Join(dir, "pki"), node); err != nil {
		return err
	}
	public, err := userKey(filepath.Join(dir, "demo_ed25519"))
	if err != nil {
		return err
	}
	return writeNew(filepath.Join(dir, "roles.yaml"), []byte(rolesDocument(public)), 0o600)
}

// userKey reads the account's public key, or makes the pair.
func userKey(path string) (string, error) {
	if public, err := os.ReadFile(path + ".pub"); err == nil {
		return strings.TrimSpace(string(public)), nil
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "podbastion demo")
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	line := ssh.MarshalAuthorizedKey(key)
	// The private half first: with the public one there, both are.
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	return strings.TrimSpace(string(line)), writeNew(path+".pub", line, 0o644)
}

func rolesDocument(key string) string {
	return `# Who may do what in the demo. Change it while the demo runs: sessions that it no longer permits end.
accounts:
  - name: ` + Account + `
    keys: ["` + key + `"]
    roles: [everything]
roles:
  everything:
    targets: [{namespaces: ["*"]}]
    commands:
      mode: denylist
      rules:
        - {id: no-rm-rf, action: deny, programs: [rm], flags: [-r, -f], message: "not recursively by force"}
    files:
      upload: [{paths: ["/**"]}]
      download: [{paths: ["/**"]}]
      remove: [{paths: ["/**"]}]
      rename: [{paths: ["/**"]}]
      mkdir: [{paths: ["/**"]}]
      chmod: [{paths: ["/**"]}]
    forward: {podPorts: ["1-65535"]}
    recording: required
`
}

// writeKnownHosts has OpenSSH know the host key.
func (d *Demo) writeKnownHosts(host, port string) error {
	key, err := sshd.HostKey(d.path("host_ed25519"))
	if err != nil {
		return err
	}
	name := host
	if port != "22" {
		name = "[" + host + "]:" + port
	}
	line := name + " " + string(ssh.MarshalAuthorizedKey(key.PublicKey()))
	// Whole at once: whoever finds it may log in.
	part := d.path(".known_hosts")
	if err := errors.Join(os.WriteFile(part, []byte(line), 0o600), os.Rename(part, d.path("known_hosts"))); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// writeNew writes a file unless it is there.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(fmt.Errorf("demo: %w", err), f.Close())
	}
	return f.Close()
}

// quote makes a word of a path for a shell to paste into.
func quote(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+@%,:=", r)
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
