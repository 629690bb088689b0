//go:build real

package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// `bastion demo --docker`, with an engine's labelled containers as its pods.
func TestDemoDocker(t *testing.T) {
	w := sharedWorld(t) // its pods
	odd, err := w.engine("run", "-d", "--label", "io.kubernetes.pod.namespace=infra", "--label", "io.kubernetes.pod.name=My_\x1b[31mPod",
		"--label", "io.kubernetes.container.name=app", "podbastion/static:test") // a name that no address can have harms no other
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = w.engine("rm", "-f", odd) }()
	dir, addr := t.TempDir(), freePort(t)
	d, err := startDaemon(filepath.Join(dir, "log"), binary(t, "bastion"), "demo", "--docker", "--docker-host", need(t, "PODBASTION_DOCKER"), "--dir", dir, "--ssh-addr", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	ssh := func(address, command string) result {
		return runClient(t, nil, "ssh", "-F", "none", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-o", "UserKnownHostsFile="+filepath.Join(dir, "known_hosts"),
			"-i", filepath.Join(dir, "demo_ed25519"), "-p", addr[strings.LastIndex(addr, ":")+1:], "-l", "demo"+address, "127.0.0.1", command)
	}
	eventually(t, 20*time.Second, func() error {
		if got := ssh("", "pods"); !strings.Contains(got.stdout, "demo+demo+infra+debug\n") {
			return fmt.Errorf("%+v\n%s", got, d.tail())
		}
		return nil
	})
	for address, want := range map[string]string{
		"+infra+debug": "infra/debug/app\n", "+demo+infra+debug": "infra/debug/app\n", "+shop+annotated~second": "shop/annotated/second\n",
	} {
		if got := ssh(address, "cat /whoami; exit 7"); got.stdout != want || got.code != 7 {
			t.Errorf("%s: %+v", address, got)
		}
	}
	for _, address := range []string{"+shop+web", "+infra+app=debug"} { // the engine knows neither workloads nor labels of pods
		if got := ssh(address, "true"); got.code != 255 || !strings.Contains(got.stderr, "there is no such pod") {
			t.Errorf("%s: %+v", address, got)
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "recordings/*/*.cast")); err != nil || len(files) != 3 {
		t.Errorf("recordings: %v %v", files, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "audit.jsonl")); err != nil {
		t.Error(err)
	}
}

// The demonstration without an engine, and what copies files: each client takes a folder there and back.
func TestDemoFiles(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	d, err := startDaemon(filepath.Join(dir, "log"), binary(t, "bastion"), "demo", "--dir", filepath.Join(dir, "demo"), "--ssh-addr", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	port := addr[strings.LastIndex(addr, ":")+1:]
	options := []string{"-F", "none", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-o", "UserKnownHostsFile=" + filepath.Join(dir, "demo/known_hosts"),
		"-i", filepath.Join(dir, "demo/demo_ed25519"), "-o", "Port=" + port}
	var pod string
	eventually(t, 20*time.Second, func() error {
		got := runClient(t, nil, "ssh", slices.Concat(options, []string{"demo@127.0.0.1", "pods"})...)
		if pod, _, _ = strings.Cut(got.stdout, "\n"); got.code != 0 || pod == "" {
			return fmt.Errorf("%+v\n%s", got, d.tail())
		}
		return nil
	})
	src, random := filepath.Join(dir, "src"), make([]byte, 3<<20+1)
	_, _ = rand.Read(random)
	content := map[string][]byte{"empty": {}, "small": random[:1000], "big": random, "deep/er/with space ☃": random[:7]}
	for name, b := range content {
		p := filepath.Join(src, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, b, 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	at, rsh := pod+"@127.0.0.1", "ssh "+strings.Join(options, " ")
	with := func(program string, args ...string) []string { return slices.Concat([]string{program}, options, args) }
	for _, c := range []struct {
		name     string
		batch    string
		up, down []string
	}{
		{"sftp", "put -rp " + src + " sftp\nget -rp sftp " + dir + "/sftp\n", with("sftp", "-b", "-", at), nil},
		{"scp", "", with("scp", "-rp", src, at+":scp"), with("scp", "-rp", at+":scp", dir)},
		{"scp-O", "", with("scp", "-Orp", src, at+":scp-O"), with("scp", "-Orp", at+":scp-O", dir)},
		{"rsync", "", []string{"rsync", "-e", rsh, "-a", src + "/", at + ":rsync"}, []string{"rsync", "-e", rsh, "-a", at + ":rsync", dir}},
	} {
		for _, args := range [][]string{c.up, c.down} {
			if len(args) == 0 {
				continue
			}
			if got := runClient(t, strings.NewReader(c.batch), args[0], args[1:]...); got.code != 0 {
				t.Fatalf("%s %q: %+v", c.name, args, got)
			}
		}
		for name, want := range content {
			p := filepath.Join(dir, c.name, name)
			st, err := os.Stat(p)
			if got, readErr := os.ReadFile(p); err != nil || readErr != nil || !bytes.Equal(got, want) || st.Mode().Perm() != 0o640 {
				t.Errorf("%s: %s: %v %v, %d bytes of %d, %v", c.name, name, err, readErr, len(got), len(want), st)
			}
		}
	}
}
