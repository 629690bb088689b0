package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/internal/pki"
)

func invoke(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = program().Run(context.Background(), args, &o, &e)
	return code, o.String(), e.String()
}

func TestPKI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	at := func(name string) string { return filepath.Join(dir, name) }
	if code, _, text := invoke("pki", "--dir", dir, "--node", "node-1"); code != 0 {
		t.Fatal(text)
	}
	first, err := os.ReadFile(at("agent-node-1.crt"))
	if err != nil {
		t.Fatal(err)
	}
	code, out, text := invoke("pki", "--dir", dir, "--node", "node-1", "--node", "node-2")
	if code != 0 || strings.TrimSpace(out) != at("agent-node-2.crt") {
		t.Errorf("the second time: %d %q %q", code, out, text)
	}
	if again, err := os.ReadFile(at("agent-node-1.crt")); err != nil || !bytes.Equal(first, again) {
		t.Error("a certificate was overwritten")
	}
	for _, name := range []string{"ca.key", "bastion.key", "grant.key", "agent-node-2.key"} {
		if info, err := os.Stat(at(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	key, err := grant.LoadPrivateKey(at("grant.key"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := grant.LoadPublicKeys(at("grant.pub"))
	if err != nil || len(public) != 1 || !public[0].Equal(key.Public()) {
		t.Errorf("grant.pub is not grant.key's: %v", err)
	}
	handshake(t, at)
	for _, node := range []string{"../evil", "", "podbastion-bastion"} {
		if code, _, _ := invoke("pki", "--dir", dir, "--node="+node); node != "" && code == 0 {
			t.Errorf("a node called %q", node)
		}
	}
}

// handshake has the made certificates meet.
func handshake(t *testing.T, at func(string) string) {
	t.Helper()
	server, err := pki.Agent(at("agent-node-2.crt"), at("agent-node-2.key"), at("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := pki.Bastion(at("bastion.crt"), at("bastion.key"), at("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, err = c.Write([]byte("x"))
			_ = c.Close()
		}
		done <- err
	}()
	client.ServerName = "node-2"
	c, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); n != 1 {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "Usage"},
		{[]string{"help"}, 0, "agent serve --config FILE"},
		{[]string{"nonsense"}, 2, "unknown command"},
		{[]string{"version"}, 0, "agent "},
		{[]string{"version", "x"}, 2, "no arguments"},
		{[]string{"config"}, 0, "PODBASTION_AGENT_NODE"},
		{[]string{"serve", "--no-such"}, 2, "no-such"},
		{[]string{"serve"}, 3, "node is not set"},
		{[]string{"serve", "--node", "n", "--cluster", "c", "--runtime", "process"}, 3, "not known"},
		{[]string{"serve", "--node", "n", "--cluster", "c", "--grantKeys", "/no/such/file"}, 3, "/no/such/file"},
		{[]string{"pki", "extra"}, 2, "unexpected argument"},
	} {
		code, out, errOut := invoke(tc.args...)
		if code != tc.code || !strings.Contains(out+errOut, tc.want) {
			t.Errorf("%v: %d %q %q", tc.args, code, out, errOut)
		}
	}
}
