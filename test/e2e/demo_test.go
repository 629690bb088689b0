//go:build real

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// `bastion demo --docker`, with an engine's labelled containers as its pods.
func TestDemoDocker(t *testing.T) {
	sharedWorld(t) // its pods
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
