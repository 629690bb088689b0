//go:build real

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// reasons are the reasons of the events of a type that came after a moment.
func (w *world) reasons(t testing.TB, since time.Time, kind string) string {
	t.Helper()
	var out []string
	for _, e := range w.events(t, func(e map[string]any) bool { return e["type"] == kind }) {
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"]))
		if err != nil {
			t.Fatal(err)
		}
		if !at.Before(since) {
			out = append(out, fmt.Sprint(e["reason"]))
		}
	}
	return strings.Join(out, "\n")
}

// Identity comes from the key that proved itself, not from one that was offered before.
func TestOfferedKeyIsNoIdentity(t *testing.T) {
	w := sharedWorld(t)
	since := time.Now()
	argv := append([]string{"-i", w.path("id_bob")}, w.sshArgs("alice")...)
	w.key(t, "bob")
	got := runClient(t, nil, "ssh", append(argv, "-l", "alice+infra+debug", "127.0.0.1", "true")...)
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	want := strings.Fields(command(t, "ssh-keygen", "-lf", w.path("id_alice.pub")))[1]
	for _, e := range w.events(t, func(e map[string]any) bool { return e["type"] == "auth.accept" }) {
		if at, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"])); at.After(since) && e["fingerprint"] != want {
			t.Errorf("accepted with %v, want alice's own %s", e["fingerprint"], want)
		}
	}
	if got := runClient(t, nil, "ssh", append(w.sshArgs("bob"), "-l", "alice+infra+debug", "127.0.0.1", "true")...); got.code != 255 {
		t.Errorf("bob's key opened alice's account: %+v", got)
	}
}

func TestCertificates(t *testing.T) {
	w := sharedWorld(t)
	for _, tc := range []struct {
		name   string
		sign   []string // arguments of ssh-keygen
		code   int
		reason string
		out    string
	}{
		{"good", []string{"-n", "cert-people"}, 0, "", "asked\n"},
		{"other principals", []string{"-n", "others"}, 255, "principal", ""},
		{"no principals", nil, 255, "principal", ""},
		{"expired", []string{"-n", "cert-people", "-V", "20200101:20200201"}, 255, "not valid", ""},
		{"other source", []string{"-n", "cert-people", "-O", "source-address=192.0.2.0/24"}, 255, "source address", ""},
		{"own source", []string{"-n", "cert-people", "-O", "source-address=127.0.0.0/8"}, 0, "", "asked\n"},
		{"forced command", []string{"-n", "cert-people", "-O", "force-command=echo forced"}, 0, "", "forced\n"},
		{"unknown option", []string{"-n", "cert-people", "-O", "critical:moon@example.com=full"}, 255, "critical option", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			since := time.Now()
			key := filepath.Join(t.TempDir(), "id")
			command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
			command(t, "ssh-keygen", append(append([]string{"-q", "-s", w.path("ca"), "-I", "tester"}, tc.sign...), key+".pub")...)
			_, port, _ := net.SplitHostPort(w.addr)
			got := runClient(t, nil, "ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile="+w.path("known_hosts"), "-o", "IdentitiesOnly=yes",
				"-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-i", key, "-p", port, "-l", "cert+infra+debug", "127.0.0.1", "echo asked")
			if got.code != tc.code || got.stdout != tc.out {
				t.Errorf("%+v", got)
			}
			if reasons := w.reasons(t, since, "auth.reject"); !strings.Contains(reasons, tc.reason) {
				t.Errorf("the audit log says %q, want %q in it", reasons, tc.reason)
			}
		})
	}
}

// An agent believes no one without a grant, whatever certificate it shows.
func TestAgentWithoutGrant(t *testing.T) {
	w := sharedWorld(t)
	pki := w.path("pki")
	curl := func(args ...string) result {
		_, port, _ := net.SplitHostPort(w.agentAddr)
		return runClient(t, nil, "curl", append([]string{"-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", pki + "/ca.crt",
			"--resolve", node + ":" + port + ":127.0.0.1"}, args...)...)
	}
	_, port, _ := net.SplitHostPort(w.agentAddr)
	url := "https://" + node + ":" + port + "/exec/infra/debug/app?command=id&output=1"
	if got := curl("-X", "POST", url); got.stdout != "000" {
		t.Errorf("without a certificate: %+v", got)
	}
	own := []string{"--cert", pki + "/bastion.crt", "--key", pki + "/bastion.key", "-X", "POST"}
	for _, extra := range [][]string{
		{url},
		{"-H", "Authorization: Bearer forged.forged", url},
		{"--path-as-is", "https://" + node + ":" + port + "/exec/infra/..%2fdebug/app?command=id&output=1"},
	} {
		if got := curl(append(own, extra...)...); got.stdout != "403" && got.stdout != "404" {
			t.Errorf("%v: %+v", extra, got)
		}
	}
	agentCert := []string{"--cert", pki + "/agent-" + node + ".crt", "--key", pki + "/agent-" + node + ".key", "-X", "POST", url}
	if got := curl(agentCert...); got.stdout != "000" {
		t.Errorf("an agent's certificate was taken for the bastion's: %+v", got)
	}
	if refused := readEvents(t, w.path("agent-audit.jsonl"), func(e map[string]any) bool { return e["type"] == "grant.reject" }); len(refused) < 2 {
		t.Errorf("%d refusals are remembered", len(refused))
	}
}

// What no OpenSSH client would send, too: each is refused for what is wrong with it, and the log says so.
func TestPathTricks(t *testing.T) {
	w := sharedWorld(t)
	for address, reason := range map[string]string{
		"infra+../debug": "two dots", "infra+debug~../app": "two dots", "..+debug": "two dots", "infra+debug%2f..": "a % is not permitted",
		"infra+debug\n": "control characters", "infra+-rf": "cannot begin or end with '-'", "infra+$(id)": "letters", "infra+debug/app": "a / is not permitted",
		"infra+debug\x00": "control characters", "infra+Debug": "lower-case letters only",
	} {
		user := "alice+" + address
		s, err := w.login(t, "alice", user).NewSession()
		if err != nil {
			t.Fatal(err)
		}
		var errOut bytes.Buffer
		s.Stderr = &errOut
		var exit *ssh.ExitError
		if err := s.Run("true"); !errors.As(err, &exit) || exit.ExitStatus() != 255 || !strings.Contains(errOut.String(), reason) {
			t.Errorf("%q: %v %q", address, err, errOut.String())
		}
		if len(w.events(t, func(e map[string]any) bool {
			return e["type"] == "session.reject" && e["address"] == user && strings.Contains(fmt.Sprint(e["reason"]), reason)
		})) == 0 {
			t.Errorf("%q: the log does not say why", address)
		}
	}
}

// Wrong keys and unknown accounts get the same answer.
func TestUnknownAccount(t *testing.T) {
	w := sharedWorld(t)
	wrong := runClient(t, nil, "ssh", append(w.sshArgs("bob"), "-o", "BatchMode=yes", "-l", "alice", "127.0.0.1", "true")...)
	unknown := runClient(t, nil, "ssh", append(w.sshArgs("bob"), "-o", "BatchMode=yes", "-l", "nobody-here", "127.0.0.1", "true")...)
	if wrong.code != 255 || unknown.code != 255 || strings.ReplaceAll(wrong.stderr, "alice", "X") != strings.ReplaceAll(unknown.stderr, "nobody-here", "X") {
		t.Errorf("%+v\n%+v", wrong, unknown)
	}
}

func TestForwarding(t *testing.T) {
	w := sharedWorld(t)
	debug := w.pod("infra", "debug")
	if _, err := w.engine("exec", "-d", debug.containers["app"], "python3", "-c", `
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", 8123)); s.listen()
while True:
    c, _ = s.accept()
    data = b""
    while True:
        more = c.recv(4096)
        if not more: break
        data += more
    c.sendall(b"got " + data); c.close()
`); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, func() error {
		got := w.ssh(t, "alice+infra+debug", strings.NewReader("hello"), "-W", "127.0.0.1:8123")
		if got.stdout != "got hello" {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	if len(w.events(t, func(e map[string]any) bool { return e["type"] == "forward.open" && e["port"] == 8123.0 })) == 0 {
		t.Error("no forward.open in the audit log")
	}
	for _, to := range []string{"127.0.0.1:22", "127.0.0.1:9999", "198.51.100.1:8123", "example.com:8123"} {
		if got := w.ssh(t, "alice+infra+debug", strings.NewReader(""), "-W", to); got.code == 0 || got.stdout != "" {
			t.Errorf("%s: %+v", to, got)
		}
	}
	loud := append([]string{"-o", "LogLevel=INFO"}, w.sshArgs("alice")...)
	if got := runClient(t, strings.NewReader(""), "ssh", append(loud, "-l", "alice+infra+debug", "-W", "127.0.0.1:8124", "127.0.0.1")...); got.code != 255 || !strings.Contains(got.stderr, "port 8124 of the pod: connection refused") {
		t.Errorf("a permitted port where nobody listens: %+v", got)
	}
	if got := w.ssh(t, "dev+infra+debug", strings.NewReader(""), "-W", "127.0.0.1:8123"); got.code == 0 {
		t.Errorf("a role without forwards: %+v", got)
	}
	if got := w.ssh(t, "alice+infra+debug", nil, "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:80", "true"); got.code == 0 {
		t.Errorf("-R: %+v", got)
	}
}

// Every session is recorded, with a terminal or without, and asciinema plays it unchanged.
func TestRecordings(t *testing.T) {
	w := sharedWorld(t)
	since := time.Now()
	x := w.terminal(t, "alice+infra+debug")
	x.expect(prompt)
	x.send("echo grüße-$((40+2))\r")
	x.expect(`grüße-42\r\n`)
	x.send("exit\r")
	x.code()
	w.ssh(t, "alice+infra+debug", nil, "echo plain-$((6*7))")
	found := map[string]bool{}
	eventually(t, 10*time.Second, func() error {
		for _, e := range w.events(t, func(e map[string]any) bool { return e["type"] == "recording.close" }) {
			if at, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"])); at.Before(since) {
				continue
			}
			path := fmt.Sprint(e["path"])
			if !filepath.IsAbs(path) {
				path = filepath.Join(w.path("recordings"), path)
			}
			if _, err := os.Stat(path); err != nil {
				return err
			}
			out := runClient(t, nil, "script", "-qec", "asciinema cat "+path, "/dev/null") // it wants a terminal
			for _, mark := range []string{"grüße-42", "plain-42"} {
				if strings.Contains(out.stdout, mark) {
					found[mark] = true
				}
			}
		}
		if len(found) != 2 {
			return fmt.Errorf("found %v", found)
		}
		return nil
	})
}
