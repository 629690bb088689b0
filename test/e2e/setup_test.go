//go:build real

package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.w != nil {
		shared.w.close()
		shared.cluster.close()
		if code == 0 {
			_ = os.RemoveAll(shared.w.dir)
		}
	}
	os.Exit(code)
}

// sharedWorld is the one that most tests use: what they do to it, they undo.
func sharedWorld(t testing.TB) *world {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "podbastion-e2e")
		if err != nil {
			t.Fatal(err)
		}
		shared.w = newWorld(t, dir)
	})
	if shared.w == nil || shared.w.bastion == nil {
		t.Fatal("the shared bastion did not start")
	}
	return shared.w
}

func newWorld(t testing.TB, dir string) *world {
	t.Helper()
	document, err := os.ReadFile("roles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return newWorldBefore(t, dir, sharedCluster(t), string(document))
}

// newWorldBefore starts an agent and a bastion before a cluster, with a roles document.
func newWorldBefore(t testing.TB, dir string, c *cluster, document string) *world {
	t.Helper()
	w := &world{cluster: c, dir: dir, document: document}
	w.addr, w.ops, w.agentAddr, w.agentOps = freePort(t), freePort(t), freePort(t), freePort(t)
	command(t, binary(t, "agent"), "pki", "--dir", w.path("pki"), "--node", node)
	command(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.path("ca"))
	w.roles(t, nil)
	w.write(t, "agent.yaml", fmt.Sprintf(`
listen: %s
node: %s
cluster: main
runtime: docker
docker: {host: "%s"}
tls: {certFile: %[4]s/agent-%[2]s.crt, keyFile: %[4]s/agent-%[2]s.key, clientCAFile: %[4]s/ca.crt}
grantKeys: [%[4]s/grant.pub]
auditLog: %[5]s/agent-audit.jsonl
ops: %[6]s
`, w.agentAddr, node, w.docker, w.path("pki"), dir, w.agentOps))
	w.write(t, "bastion.yaml", fmt.Sprintf(`
listen: %s
hostKeys: [%[2]s/host_ed25519]
roles: %[2]s/roles.yaml
clusters: [{name: main, kubeconfig: %[3]s}]
agents: {addresses: {%[4]s: "%[5]s"}, caFile: %[6]s/ca.crt, certFile: %[6]s/bastion.crt, keyFile: %[6]s/bastion.key}
grantKey: %[6]s/grant.key
audit: {log: %[2]s/audit.jsonl, recordings: %[2]s/recordings}
ops: %[7]s
drain: 8s
ssh: {keepaliveInterval: 2s}
`, w.addr, dir, w.kubeconfig, node, w.agentAddr, w.path("pki"), w.ops))
	w.startAgent(t)
	w.startBastion(t)
	return w
}

func (w *world) close() {
	if w.bastion != nil {
		w.bastion.stop()
	}
	if w.agent != nil {
		w.agent.stop()
	}
}

// roles writes the roles document, each KEY_name replaced by that account's public key, after change has seen it.
func (w *world) roles(t testing.TB, change func(string) string) {
	t.Helper()
	ca, err := os.ReadFile(w.path("ca.pub"))
	if err != nil {
		t.Fatal(err)
	}
	text := w.document
	if change != nil {
		text = change(text)
	}
	text = regexp.MustCompile(`KEY_\w+`).ReplaceAllStringFunc(text, func(mark string) string {
		if account := strings.TrimPrefix(mark, "KEY_"); account != "ca" && account != "name" {
			return w.key(t, account)
		}
		return mark
	})
	w.write(t, "roles.yaml", strings.ReplaceAll(text, "KEY_ca", strings.TrimSpace(string(ca))))
}

// sharedCluster has the pods that every world sees.
func sharedCluster(t testing.TB) *cluster {
	t.Helper()
	shared.clusterOnce.Do(func() {
		c := openCluster(t)
		c.makePods(t)
		shared.cluster = c
	})
	if shared.cluster == nil {
		t.Fatal("the pods could not be made")
	}
	return shared.cluster
}

func (c *cluster) makePods(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(c.namespace(ctx, "shop"))
	check(c.namespace(ctx, "infra"))
	check(c.clear(ctx, "shop", "infra"))
	web, err := c.deployment(ctx, "shop", "web")
	check(err)
	const bash, ash, static = "podbastion/bash:test", "podbastion/ash:test", "podbastion/static:test"
	specs := []podSpec{
		{namespace: "shop", name: "web-6d4b75cb6d-old", owner: web, labels: map[string]string{"app": "web", "generation": "old"},
			containers: []containerSpec{{name: "app", image: bash}}},
		{namespace: "shop", name: "tool-0", labels: map[string]string{"app": "tool"}, containers: []containerSpec{{name: "app", image: ash}}},
		{namespace: "shop", name: "annotated", annotations: map[string]string{"kubectl.kubernetes.io/default-container": "second"},
			containers: []containerSpec{{name: "first", image: ash}, {name: "second", image: ash}}},
		{namespace: "infra", name: "debug", labels: map[string]string{"app": "debug"}, containers: []containerSpec{{name: "app", image: bash}}},
		{namespace: "infra", name: "bare", containers: []containerSpec{{name: "app", image: static}}},
		{namespace: "infra", name: "readonly", containers: []containerSpec{{name: "app", image: bash, args: []string{"--read-only", "--tmpfs", "/tmp"}}}},
		{namespace: "infra", name: "nonroot", containers: []containerSpec{{name: "app", image: bash, args: []string{"--user", "1000"}}}},
	}
	for _, s := range specs {
		_, err := c.run(ctx, s)
		check(err)
	}
	time.Sleep(1100 * time.Millisecond) // creation times have whole seconds, and this pod must be the newest
	_, err = c.run(ctx, podSpec{namespace: "shop", name: "web-6d4b75cb6d-new", owner: web, labels: map[string]string{"app": "web", "generation": "new"},
		containers: []containerSpec{{name: "app", image: bash}, {name: "side", image: ash}}})
	check(err)
	for _, p := range c.pods {
		for name := range p.containers {
			if name == "POD" || p.name == "bare" || p.name == "readonly" {
				continue
			}
			_, err := c.engine("exec", "--user", "0", p.containers[name], "sh", "-c", fmt.Sprintf("echo %s/%s/%s > /whoami", p.namespace, p.name, name))
			check(err)
		}
	}
}

// pod returns the newest pod of that name.
func (c *cluster) pod(namespace, name string) *pod {
	for i := len(c.pods) - 1; i >= 0; i-- {
		if p := c.pods[i]; p.namespace == namespace && p.name == name {
			return p
		}
	}
	panic("no such pod: " + namespace + "/" + name)
}

// sshTo is ssh with its output into a writer; it returns the exit code.
func (w *world) sshTo(t testing.TB, user string, out io.Writer, args ...string) int {
	t.Helper()
	account, _, _ := strings.Cut(user, "+")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", append(append(w.sshArgs(account), "-l", user, "127.0.0.1"), args...)...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}
