package gate

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// shell is a real shell on a local terminal, started through its gate, with a bastion's simplest judge before it:
// a line that holds the word "forbidden" stays.
type shell struct {
	t    *testing.T
	gate *Gate
	tty  *os.File
	home string

	mu      sync.Mutex
	screen  bytes.Buffer
	reports []Report
	changed chan struct{}
	silent  bool // do not answer
}

func (s *shell) Output(p []byte) { s.screen.Write(p) }

func (s *shell) Report(r Report) {
	s.reports = append(s.reports, r)
	if r.Kind == Ready {
		_, _ = s.tty.Write(s.gate.Go())
	}
	if r.Kind == Line && !s.silent {
		_, _ = s.tty.Write(s.gate.Reply(r.Count, !strings.Contains(r.Expanded+r.Text, "forbidden")))
	}
}

func start(t *testing.T, path string, files map[string]string, env ...string) *shell {
	t.Helper()
	g, ok := New(path)
	if !ok {
		t.Fatalf("no gate for %s", path)
	}
	return startWith(t, g, files, g.Argv(), append(env, g.Env()...))
}

// startPlain is the same terminal with another command on it.
func startPlain(t *testing.T, files map[string]string, argv []string, env ...string) *shell {
	t.Helper()
	g, _ := New("/bin/bash")
	return startWith(t, g, files, argv, env)
}

func startWith(t *testing.T, g *Gate, files map[string]string, argv, env []string) *shell {
	t.Helper()
	s := &shell{t: t, gate: g, home: t.TempDir(), changed: make(chan struct{}, 1)}
	for name, text := range files {
		file := filepath.Join(s.home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.home
	cmd.Env = append([]string{"HOME=" + s.home, "TERM=xterm-256color", "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}, env...)
	var err error
	if s.tty, err = pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read(g.Filter())
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-done
		_ = s.tty.Close()
	})
	return s
}

func (s *shell) read(filter *Filter) {
	buffer := make([]byte, 4096)
	for {
		n, err := s.tty.Read(buffer)
		s.mu.Lock()
		filter.Write(buffer[:n], s)
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// interrupt clears the line as the guard does: keys that come at the same moment as an interrupt may be dropped, and
// bash may finish the interrupt only with the next key, so it asks until it is told.
func (s *shell) interrupt() {
	cleared := func() (answered, empty bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		last := s.reports[len(s.reports)-1]
		return last.Kind == Answer, last.Text == ""
	}
	s.keys("\x03")
	for try := range 20 {
		time.Sleep(50 * time.Millisecond)
		if try%5 == 4 { // the interrupt may have taken the answer with it that the hook waits for
			s.keys(string(s.gate.Reply(1, false)))
		}
		s.keys(string(s.gate.Ask()))
		time.Sleep(50 * time.Millisecond)
		switch answered, empty := cleared(); {
		case answered && empty:
			return
		case answered:
			s.keys("\x03")
		}
	}
	s.t.Fatal("no answer after an interrupt")
}

func (s *shell) waitFile(name string) {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := os.Stat(filepath.Join(s.home, name)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("no file %s; screen %q", name, s.screen.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// difference lists the lines that only one of two texts has.
func difference(a, b string) string {
	seen := map[string]int{}
	for _, line := range strings.Split(a, "\n") {
		seen[line]++
	}
	for _, line := range strings.Split(b, "\n") {
		seen[line]--
	}
	var out strings.Builder
	for line, n := range seen {
		if n != 0 {
			fmt.Fprintf(&out, "%+d %s\n", n, line)
		}
	}
	return out.String()
}

// wait blocks until the condition holds, which is called with the lock held.
func (s *shell) wait(what string, condition func() bool) {
	s.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		ok := condition()
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.changed:
		case <-deadline:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("no %s; reports %+v; screen %q", what, s.reports, s.screen.String())
		}
	}
}

func (s *shell) count(kind Kind) int {
	n := 0
	for _, r := range s.reports {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

func (s *shell) prompt(n int) {
	s.t.Helper()
	s.wait("prompt", func() bool {
		return s.count(Prompt) >= n && strings.HasSuffix(strings.TrimRight(plain(s.screen.String()), " "), ">>")
	})
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\a]*\a|\r`)

func plain(s string) string { return escapes.ReplaceAllString(s, "") }

func (s *shell) keys(k string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(k); err != nil {
		s.t.Fatal(err)
	}
}

// run types keys and returns the report of the n-th line since the start.
func (s *shell) line(n int) Report {
	s.t.Helper()
	var found Report
	s.wait("line", func() bool {
		for _, r := range s.reports {
			if r.Kind == Line && r.Count == n {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

// settled waits until the shell reads keys again: the prompt's end, or the continued prompt's.
func (s *shell) settled() {
	s.t.Helper()
	s.wait("end of the line", func() bool {
		text := plain(s.screen.String())
		last := s.reports[len(s.reports)-1]
		return (last.Kind == Prompt || strings.HasSuffix(text, "\n.. ")) && (strings.Contains(text[strings.LastIndexByte(text, '\n')+1:], ">> ") || strings.HasSuffix(text, ".. "))
	})
}

var bashHome = map[string]string{".bash_profile": "PS1='>> '; PS2='.. '; HISTFILE=/dev/null\nunset PROMPT_COMMAND\n"}
