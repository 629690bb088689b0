//go:build real

package verify

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/auth"
)

// keygen runs OpenSSH's ssh-keygen in the directory.
func keygen(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %v: %v %s (apt-get install openssh-client)", args, err, out)
	}
}

func readKey(t *testing.T, path string) ssh.PublicKey {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Certificates as OpenSSH makes them, by each kind of authority, mean here what they mean there.
func TestCertificatesOfSSHKeygen(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		dir := t.TempDir()
		keygen(t, dir, "-t", kind, "-N", "", "-f", "ca")
		keygen(t, dir, "-t", kind, "-N", "", "-f", "id")
		v := verifierOf(t, time.Now(), []ssh.PublicKey{readKey(t, filepath.Join(dir, "ca.pub"))}, `{name: alice, roles: [wide]}`)
		tests := []struct {
			name string
			args []string
			want error
		}{
			{"plain", nil, nil},
			{"all options", []string{"-O", "force-command=uptime", "-O", "source-address=10.0.0.0/8", "-O", "no-port-forwarding"}, nil},
			{"source", []string{"-O", "source-address=192.0.2.0/24"}, auth.ErrCertSource},
			{"unknown critical option", []string{"-O", "critical:x@example.org=1"}, auth.ErrCertOption},
			{"verify-required", []string{"-O", "verify-required"}, auth.ErrCertOption},
			{"expired", []string{"-V", "-2h:-1h"}, auth.ErrCertValidity},
			{"not yet", []string{"-V", "+1h:+2h"}, auth.ErrCertValidity},
			{"host certificate", []string{"-h"}, auth.ErrCertType},
			{"other principal", []string{"-n", "bob"}, auth.ErrCertPrincipal},
		}
		if kind == "rsa" {
			tests = append(tests, struct {
				name string
				args []string
				want error
			}{"SHA-1", []string{"-t", "ssh-rsa"}, auth.ErrWeakKey})
		}
		for _, tt := range tests {
			args := append([]string{"-s", "ca", "-I", "alice@laptop", "-z", "7", "-n", "alice"}, tt.args...)
			keygen(t, dir, append(args, "id.pub")...)
			p, err := v.PublicKey("alice", readKey(t, filepath.Join(dir, "id-cert.pub")), here)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s, %s: %v", kind, tt.name, err)
				continue
			}
			if err != nil {
				continue
			}
			forced := tt.name == "all options"
			if p.CertID != "alice@laptop" || p.CertSerial != 7 || p.NoPTY || p.NoForward != forced || (p.ForceCommand == "uptime") != forced {
				t.Errorf("%s, %s: %+v", kind, tt.name, *p)
			}
		}
	}
}
