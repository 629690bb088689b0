package bastion_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
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
	w.endsAndMarks(t, file)
}

// endsAndMarks looks at the shell's session: how each command ended, as the gate told, and where it is marked.
func (w *whole) endsAndMarks(t *testing.T, file string) {
	t.Helper()
	var commands []audit.Event
	var ends []string
	var session, recording string
	for _, e := range w.events(t) {
		if session == "" && e.Type == audit.Command {
			session = e.Session
		}
		switch {
		case session == "" || e.Session != session:
		case e.Type == audit.Command:
			commands = append(commands, e)
		case e.Type == audit.CommandEnd:
			ends = append(ends, fmt.Sprint(e.Line, ": ", *e.Exit))
		case e.Type == audit.RecordingClose:
			recording = e.Path
		}
	}
	want := []string{"echo o''ne: 0", "uname >/dev/null; echo t''wo: 0", "false: 1", "echo st=$?: 0"} // what was denied has no end, and the shell's own is the session's
	if a, b := strings.Join(ends, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("ends:\n%s\nwant:\n%s", a, b)
	}
	data, err := os.ReadFile(recording)
	must(t, err)
	var marked []float64
	var labels, shown []string // shown between one mark and the next
	last := ""
	for line := range strings.Lines(string(data)) {
		var e []any
		if json.Unmarshal([]byte(line), &e) != nil || len(e) != 3 {
			continue // the header
		}
		switch text := e[2].(string); e[1] {
		case "m":
			marked, labels, shown, last = append(marked, e[0].(float64)), append(labels, strings.ReplaceAll(text, file, "F")), append(shown, last), ""
		case "o":
			last += text
		}
	}
	wantLabels := []string{"echo o''ne", "deny: touch F", "warn: uname >/dev/null; echo t''wo", "false", "echo st=$?", "exit 3"}
	if a, b := strings.Join(labels, "\n"), strings.Join(wantLabels, "\n"); a != b || len(commands) != len(labels) {
		t.Fatalf("marks:\n%s\nwant:\n%s\nand as many events, not %d", a, b, len(commands))
	}
	for i, e := range commands {
		// The clock of the recording begins with the session: what counts is that the two go alike.
		if d := e.Time.Sub(commands[0].Time).Seconds() - (marked[i] - marked[0]); math.Abs(d) > 0.5 {
			t.Errorf("the mark of %q is %.3f s from its event", e.Line, d)
		}
	}
	// A mark stands between the line's echo and what it prints, and a denial's before its notice.
	if !strings.Contains(shown[0], "o''ne") || strings.Contains(shown[0], "one\r\n") || !strings.Contains(shown[1], "one\r\n") ||
		strings.Contains(shown[1], "denied") || !strings.Contains(shown[2], "denied by rule no-touch") || strings.Contains(shown[2], "warning") {
		t.Errorf("shown before the marks: %q", shown)
	}
}

func newSession(t *testing.T, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	must(t, err)
	return s
}
