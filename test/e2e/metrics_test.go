//go:build real

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Both daemons tell of sessions, logins, bytes, latencies, and of agents and clusters, while a session runs.
func TestMetrics(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	read := func(ops string) string {
		resp, err := http.Get("http://" + ops + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", ops, resp.Status, err)
		}
		return string(text)
	}
	c := w.login(t, "alice", "alice+infra+debug")
	if _, err := ssh.Dial("tcp", w.addr, &ssh.ClientConfig{User: "alice", HostKeyCallback: ssh.InsecureIgnoreHostKey()}); err == nil {
		t.Fatal("nobody got in")
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errOut strings.Builder
	s.Stderr = &errOut
	if err := s.Start("echo some bytes; exec sleep 100"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(line, err, s.Wait(), errOut.String())
	}
	for name, test := range map[string]struct {
		ops  string
		want []string
	}{
		"bastion": {w.ops, []string{
			`podbastion_connections 1`, `podbastion_logins_total{method="publickey",result="accept"} 1`, `podbastion_sessions{kind="exec"} 1`,
			`podbastion_sessions_started_total{kind="exec"} 1`, `podbastion_session_bytes_total{direction="out"} 11`,
			`podbastion_session_start_seconds_count 1`, `podbastion_login_to_start_seconds_count 1`,
			`podbastion_agent_request_seconds_count{request="exec",result="ok"} 1`, `podbastion_agent_up{`, `podbastion_cluster_synced{`,
			`podbastion_cluster_stale{`, `podbastion_pods `, `go_goroutines `, `process_resident_memory_bytes `,
		}},
		"agent": {w.agentOps, []string{
			`podbastion_agent_sessions 1`, `podbastion_agent_forwards 0`, `podbastion_agent_bytes_total{direction="out"} 11`, // while it runs
			`podbastion_agent_start_seconds_count 1`, `podbastion_agent_grants_refused_total 0`, `podbastion_agent_runtime_up 1`,
			`go_goroutines `, `process_resident_memory_bytes `,
		}},
	} {
		eventually(t, 10*time.Second, func() error {
			text := "\n" + read(test.ops)
			for _, want := range test.want {
				if !strings.Contains(text, "\n"+want) {
					return fmt.Errorf("%s: no %s", name, want)
				}
			}
			return nil
		})
	}
}
