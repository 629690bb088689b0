//go:build real

package e2e

import (
	"net"
	"strings"
	"testing"
)

// The same login with clients that share no code with OpenSSH.
func TestOtherClients(t *testing.T) {
	w := sharedWorld(t)
	host, port, _ := net.SplitHostPort(w.addr)
	const say = "cat /whoami; cat; echo oops >&2; exit 5"
	check := func(t *testing.T, got result) {
		t.Helper()
		if got.code != 5 || got.stdout != "infra/debug/app\ntyped\n" || !strings.Contains(got.stderr, "oops") {
			t.Errorf("%+v", got)
		}
	}
	w.key(t, "alice")
	t.Run("dbclient", func(t *testing.T) {
		key := w.path("id_dropbear")
		command(t, "dropbearconvert", "openssh", "dropbear", w.path("id_alice"), key)
		check(t, runClient(t, strings.NewReader("typed\n"), "dbclient", "-y", "-y", "-T", "-i", key, "-p", port, "alice+infra+debug@"+host, say))
	})
	t.Run("plink", func(t *testing.T) {
		key := w.path("id_alice.ppk")
		command(t, "puttygen", w.path("id_alice"), "-O", "private", "-o", key)
		fingerprint := strings.Fields(command(t, "ssh-keygen", "-lf", w.path("host_ed25519")))[1]
		check(t, runClient(t, strings.NewReader("typed\n"), "plink", "-batch", "-ssh", "-T", "-hostkey", fingerprint, "-i", key, "-P", port, "-l", "alice+infra+debug", host, say))
	})
	t.Run("paramiko", func(t *testing.T) {
		check(t, runClient(t, strings.NewReader("typed\n"), "/usr/bin/python3", "-c", `
import paramiko, sys
c = paramiko.SSHClient()
c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect(sys.argv[1], int(sys.argv[2]), sys.argv[3], key_filename=sys.argv[4], look_for_keys=False, allow_agent=False)
i, o, e = c.exec_command(sys.argv[5])
i.write(sys.stdin.read()); i.channel.shutdown_write()
sys.stdout.write(o.read().decode()); sys.stderr.write(e.read().decode())
code = o.channel.recv_exit_status(); c.close(); sys.exit(code)
`, host, port, "alice+infra+debug", w.path("id_alice"), say))
	})
}

// ssh-audit, which knows the weaknesses of algorithms, finds nothing to say.
func TestAlgorithms(t *testing.T) {
	w := sharedWorld(t)
	host, port, _ := net.SplitHostPort(w.addr)
	got := runClient(t, nil, "ssh-audit", "-n", "-p", port, host)
	// Debian's release of it is older than two of the algorithms; that it does not know them says nothing of them.
	if strings.Contains(got.stdout, "[fail]") || !strings.Contains(got.stdout, "[info]") {
		t.Errorf("code %d\n%s", got.code, got.stdout)
	}
	for line := range strings.SplitSeq(got.stdout, "\n") {
		if strings.Contains(line, "[warn]") && !strings.Contains(line, "unknown algorithm") {
			t.Error(line)
		}
	}
}
