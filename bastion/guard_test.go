package bastion_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
)

// screen collects what a terminal's client is shown.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (s *screen) wait(t *testing.T, text string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !strings.Contains(s.String(), text) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q on the screen: %q", text, s.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestGuardedShell goes the whole road: an interactive shell, its gate, the node's word, the rules, the audit log and
// the recording.
func TestGuardedShell(t *testing.T) {
	w := start(t)
	path := filepath.Join(w.dir, "roles.yaml")
	text, err := os.ReadFile(path)
	must(t, err)
	rules := "commands: {mode: denylist, rules: [{id: no-touch, action: deny, programs: [touch], message: not here}, {id: look, action: warn, programs: [uname]}]}, forward"
	must(t, os.WriteFile(path, bytes.Replace(text, []byte("forward"), []byte(rules), 1), 0o600))
	must(t, w.reload())
	c := w.login(t)
	s, err := c.NewSession()
	must(t, err)
	out := &screen{}
	s.Stdout, s.Stderr = out, out
	keys, err := s.StdinPipe()
	must(t, err)
	must(t, s.RequestPty("xterm", 24, 80, ssh.TerminalModes{}))
	must(t, s.Shell())
	file := filepath.Join(w.dir, "F")
	for _, step := range []struct{ keys, want string }{
		{"echo o''ne\r", "one\r\n"},
		{"touch " + file + "\r", "denied by rule no-touch: not here"},
		{"uname >/dev/null; echo t''wo\r", "warning by rule look"},
		{"", "two\r\n"},
		{"false\recho st=$?\r", "st=1\r\n"},
	} {
		_, err := keys.Write([]byte(step.keys))
		must(t, err)
		out.wait(t, step.want)
	}
	_, err = keys.Write([]byte("exit 3\r"))
	must(t, err)
	if exit := status(s.Wait()); exit != 3 {
		t.Errorf("ended with %d", exit)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the denied line ran")
	}
	if strings.Contains(out.String(), "7770") {
		t.Errorf("the gate is seen: %q", out.String())
	}
	// The same rules hold for exec requests and for the shells that they start.
	for _, command := range []string{"touch " + file, "bash -c 'touch " + file + "'"} {
		if exit := status(newSession(t, c).Run(command)); exit != 126 {
			t.Errorf("%s ended with %d", command, exit)
		}
	}
	piped := newSession(t, c)
	piped.Stdin = strings.NewReader("echo three\ntouch " + file + "\n")
	if err := piped.Run("bash"); err == nil {
		t.Error("a denied line in a pipe was let run")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the denied request ran")
	}
	w.stop()
	var got []string
	for _, e := range w.events(t) {
		if e.Type == audit.Command {
			got = append(got, strings.Join([]string{e.Verdict, e.Rule, e.Witness, e.Confidence, strings.ReplaceAll(e.Line, file, "F")}, " "))
		}
	}
	want := []string{"allow  gate high echo o''ne", "deny no-touch gate high touch F", "warn look gate high uname >/dev/null; echo t''wo",
		"allow  gate high false", "allow  gate high echo st=$?", "allow  gate high exit 3",
		"deny no-touch exec high touch F", "deny no-touch exec high bash -c 'touch F'",
		"allow  exec high bash", "allow  exec high echo three", "deny no-touch exec high touch F"}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("commands:\n%s\nwant:\n%s\nscreen %q", a, b, out.String())
	}
}

func newSession(t *testing.T, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	must(t, err)
	return s
}
