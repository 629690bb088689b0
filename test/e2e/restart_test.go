//go:build real

package e2e

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/crypto/ssh"
)

// dial logs in with a key and a one-time code.
func (w *world) withCode(t *testing.T, account, code string) error {
	t.Helper()
	data, err := os.ReadFile(w.path("id_" + account))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", w.addr, &ssh.ClientConfig{User: account, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			if len(questions) != 1 {
				return nil, errors.New("not one question")
			}
			return []string{code}, nil
		})}})
	if err == nil {
		_ = c.Close()
	}
	return err
}

func (w *world) killBastion(t *testing.T) {
	t.Helper()
	if err := w.bastion.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.bastion.ended
	w.startBastion(t)
}

// A bastion that is killed has forgotten neither the codes that were used nor who is locked out.
func TestKilledBastionRemembers(t *testing.T) {
	const secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	w := newWorld(t, t.TempDir())
	defer w.close()
	w.roles(t, func(text string) string {
		return strings.Replace(text, `keys: ["KEY_dev"]`, `keys: ["KEY_dev"], totp: `+secret, 1)
	})
	var code string
	eventually(t, 60*time.Second, func() (err error) { // the document is read when it has changed
		if code, err = totp.GenerateCode(secret, time.Now()); err != nil {
			return err
		}
		if got := w.events(t, func(e map[string]any) bool { return e["type"] == "policy.reload" }); len(got) == 0 {
			return errors.New("not reloaded")
		}
		return w.withCode(t, "dev", code)
	})
	w.killBastion(t)
	if err := w.withCode(t, "dev", code); err == nil {
		t.Error("the code was good twice")
	}
	for range 12 {
		_ = w.withCode(t, "dev", "000000")
	}
	locked := func(e map[string]any) bool {
		reason, _ := e["reason"].(string)
		return e["type"] == "auth.reject" && strings.Contains(reason, "locked out")
	}
	before := len(w.events(t, locked))
	if before == 0 {
		t.Fatal("nobody was locked out")
	}
	w.killBastion(t)
	_ = w.withCode(t, "dev", "000000")
	if after := len(w.events(t, locked)); after <= before {
		t.Error("the lockout is forgotten")
	}
}
