//go:build real

package chart

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"
)

func binary(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(need(t, "PODBASTION_BIN"), name)
}

// The bastion starts with what the chart gives it and becomes ready, as the probes ask. Folders are elsewhere, and the
// cluster that it runs in is named by a kubeconfig, because no pod runs here.
func TestBastionStarts(t *testing.T) {
	dir := t.TempDir()
	list := render(t, "some", "--set-file", "roles.document=testdata/roles.yaml")
	pod := at(t, find(list, "StatefulSet", "-bastion"), "spec", "template", "spec").(object)
	for _, sub := range []string{"etc/keys", "etc/roles", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(binary(t, "agent"), "pki", "--dir", filepath.Join(dir, "pki"), "--node", "node-1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	put := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o440); err != nil { // the mode of a Secret's file with an fsGroup
			t.Fatal(err)
		}
	}
	for _, item := range at(t, pod, "volumes", "keys", "secret", "items").([]any) {
		data, err := os.ReadFile(filepath.Join(dir, "pki", item.(object)["key"].(string)))
		if err != nil {
			t.Fatal(err)
		}
		put("etc/keys/"+item.(object)["path"].(string), data)
	}
	put("etc/roles/roles.yaml", []byte(at(t, find(list, "ConfigMap", "-roles"), "data", "roles.yaml").(string)))
	text, _ := settingsOf(t, list, "bastion")
	text = strings.NewReplacer("/etc/podbastion/", dir+"/etc/", "/var/lib/podbastion/", dir+"/state/").Replace(text)
	var config object
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	config["clusters"].([]any)[0].(object)["kubeconfig"] = need(t, "PODBASTION_KUBECONFIG")
	data, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	put("etc/bastion.yaml", data)

	ops := freePort(t)
	logged, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer logged.Close()
	cmd := exec.Command(binary(t, "bastion"), "serve", "--config", filepath.Join(dir, "etc/bastion.yaml"), "--listen", "127.0.0.1:0", "--ops", ops)
	cmd.Stdout, cmd.Stderr = logged, logged
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	said := func() string { text, _ := os.ReadFile(logged.Name()); return string(text) }
	deadline := time.After(time.Minute)
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		url := "http://" + ops + at(t, pod, "containers", "bastion", probe, "httpGet", "path").(string)
		for status := 0; status != http.StatusOK; {
			select {
			case err := <-ended:
				t.Fatalf("it ended: %v\n%s", err, said())
			case <-deadline:
				_ = cmd.Process.Kill()
				t.Fatalf("%s: no 200 from %s\n%s", probe, url, said())
			case <-time.After(50 * time.Millisecond):
			}
			if resp, err := http.Get(url); err == nil {
				status = resp.StatusCode
				_ = resp.Body.Close()
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "state/host_ed25519")); err != nil {
		t.Errorf("the host key is not on the claim: %v", err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v\n%s", err, said())
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The agent's capabilities are enough for what needs most of them, to enter a container for file transfers, and none of
// them can be left out.
func TestAgentCapabilities(t *testing.T) {
	var caps []string
	for _, c := range at(t, find(render(t, "some"), "DaemonSet", "-agent"),
		"spec", "template", "spec", "containers", "agent", "securityContext", "capabilities", "add").([]any) {
		caps = append(caps, strings.ToLower(c.(string)))
	}
	// A container as far as the agent is concerned: a process of another user in namespaces of its own.
	target := exec.Command("unshare", "--mount", "--net", "--uts", "--ipc", "--cgroup", "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "sleep", "600")
	if err := target.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = target.Process.Kill(); _ = target.Wait() })
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", target.Process.Pid))
		if err != nil || time.Since(start) > 10*time.Second {
			t.Fatalf("the container does not start: %s %v", name, err)
		}
		if strings.TrimSpace(string(name)) == "sleep" {
			break
		}
	}
	fd, err := unix.PidfdOpen(target.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	process := os.NewFile(uintptr(fd), "pidfd")
	defer process.Close()
	// enter has the agent's helper enter it with these capabilities and start the agent's program there.
	enter := func(uid int, caps []string) error {
		spec, err := json.Marshal(object{"uid": uid, "gid": uid, "groups": []int{}, "args": []string{"agent", "version"}})
		if err != nil {
			t.Fatal(err)
		}
		program, err := os.Open(binary(t, "agent"))
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close()
		set := "--bounding-set=-all"
		for _, c := range caps {
			set += ",+" + c
		}
		cmd := exec.Command("setpriv", set, binary(t, "agent"), "files-enter", string(spec))
		cmd.ExtraFiles = []*os.File{program, process}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "agent ") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	for _, uid := range []int{0, 1000} {
		if err := enter(uid, caps); err != nil {
			t.Errorf("as user %d with %v: %v", uid, caps, err)
		}
	}
	for i, c := range caps {
		less := slices.Delete(slices.Clone(caps), i, i+1)
		if enter(0, less) == nil && enter(1000, less) == nil {
			t.Errorf("%s is not needed", c)
		}
	}
}
