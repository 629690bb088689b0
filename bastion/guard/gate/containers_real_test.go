//go:build real

package gate

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The gate in containers whose root is read-only, for users that own nothing: bash and fish without one place to write
// to, zsh with /dev/shm only.
func TestReadOnlyContainers(t *testing.T) {
	docker := os.Getenv("PODBASTION_DOCKER")
	if docker == "" {
		t.Fatal("PODBASTION_DOCKER is not set: run the tests through make test, or eval \"$(test/real/real.sh up)\" first")
	}
	engine := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("docker", append([]string{"-H", docker}, args...)...).Output()
		if err != nil {
			t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out))
	}
	for _, c := range []struct {
		name, shell string
		run         []string
		writable    bool
	}{
		{"bash", "/bin/bash", []string{"--ipc", "none", "--user", "1000"}, false},
		{"bash, unknown user", "/bin/bash", []string{"--ipc", "none", "--user", "4321:4321"}, false},
		{"fish", "/usr/bin/fish", []string{"--ipc", "none", "--user", "1000"}, false},
		{"zsh", "/usr/bin/zsh", []string{"--user", "1000"}, true},
		{"zsh, unknown user", "/usr/bin/zsh", []string{"--user", "4321:4321"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := engine(append(append([]string{"run", "-d", "--read-only"}, c.run...), "podbastion/bash:test")...)
			defer engine("rm", "-f", id)
			places := engine("exec", id, "sh", "-c", "for d in / /tmp /run /var/tmp /dev/shm /home/dev; do (echo >$d/x) 2>/dev/null && rm $d/x && echo $d; done; true")
			if (places != "") != c.writable {
				t.Fatalf("places to write to: %q", places)
			}
			g, _ := New(c.shell)
			argv := []string{"docker", "-H", docker, "exec", "-it", "-e", "LANG=C.UTF-8"}
			for _, e := range g.Env() {
				argv = append(argv, "-e", e)
			}
			s := startWith(t, g, nil, append(append(argv, id), g.Argv()...), nil)
			s.wait("prompt", func() bool { return s.count(Prompt) == 1 })
			s.keys("echo o''ne\r")
			if got := s.line(1); got.Expanded != "echo o''ne" {
				t.Errorf("told as %q", got.Expanded)
			}
			s.wait("output", func() bool { return strings.Contains(plain(s.screen.String()), "one\n") })
			s.wait("prompt", func() bool { return s.count(Prompt) == 2 })
			s.keys("echo forbidden''line\r")
			s.wait("forbidden line", func() bool {
				last := s.reports[len(s.reports)-1]
				return last.Kind == Line && strings.Contains(last.Text, "forbidden")
			})
			s.interrupt()
			s.mu.Lock()
			if strings.Contains(s.screen.String(), "forbiddenline") {
				t.Error("the forbidden line ran")
			}
			s.mu.Unlock()
			if left := engine("exec", id, "sh", "-c", "ls -A /tmp /dev/shm 2>/dev/null | grep podbastion || true"); left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}
