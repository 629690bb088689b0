package bridge_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/internal/tty"
)

// shell starts an interactive bash whose output is thrown away.
func shell(t testing.TB, a *agenttest.Agent, b *bridge.Bridge) (bridge.Process, bridge.TerminalConn) {
	s := start(a, "/bin/bash", "--norc", "-i")
	s.TTY, s.Size, s.Env = true, tty.Size{Cols: 80, Rows: 24}, []string{"TERM=xterm"}
	p := exec(t, b, s)
	go func() { _, _ = io.Copy(io.Discard, p.Stdout()) }()
	c, err := b.Terminal(t.Context(), s)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return p, c
}

func TestTerminalStates(t *testing.T) {
	a := agenttest.Start(t)
	p, c := shell(t, a, newBridge(t, a))
	must(t, os.Mkdir(filepath.Join(a.Dir, "sub"), 0o755))
	for _, step := range []struct {
		name, keys string
		want       bridge.TerminalState
	}{
		{"prompt", "", bridge.TerminalState{ShellForeground: true, Reading: true, Command: "bash"}},
		{"command", "sleep 1000\r", bridge.TerminalState{Echo: true, Canonical: true, Command: "sleep"}},
		{"type-ahead", "echo hi\r", bridge.TerminalState{Echo: true, Canonical: true, Command: "sleep", UnreadInput: 8}},
		{"interrupted", "\x03", bridge.TerminalState{ShellForeground: true, Reading: true, Command: "bash"}},
		{"cat", "cat\r", bridge.TerminalState{Echo: true, Canonical: true, Command: "cat", Reading: true}},
		{"end of file", "\x04", bridge.TerminalState{ShellForeground: true, Reading: true, Command: "bash"}},
		{"second in a pipeline reads", "true | cat - /dev/tty\r", bridge.TerminalState{Echo: true, Canonical: true, Command: "cat", Reading: true}},
		{"interrupted again", "\x03", bridge.TerminalState{ShellForeground: true, Reading: true, Command: "bash"}},
		{"secret", "read -s x\r", bridge.TerminalState{Canonical: true, ShellForeground: true, Reading: true, Command: "bash"}},
		{"secret given", "hush\r", bridge.TerminalState{ShellForeground: true, Reading: true, Command: "bash"}},
		{"nested bash", "bash --norc -i\r", bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash"}},
		{"nested dash", "dash\r", bridge.TerminalState{Echo: true, Canonical: true, ShellForeground: true, Nested: true, Reading: true, Command: "dash"}},
		{"script", "dash -c 'read x'\r", bridge.TerminalState{Echo: true, Canonical: true, ShellForeground: true, Nested: true, Scripted: true, Reading: true, Command: "dash"}},
		{"back in dash", "\r", bridge.TerminalState{Echo: true, Canonical: true, ShellForeground: true, Nested: true, Reading: true, Command: "dash"}},
		{"back in bash", "\x04", bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash"}},
		{"select", "python3 -c 'import select,sys; select.select([0],[],[])'\r", bridge.TerminalState{Echo: true, Canonical: true, Reading: true, Command: "python"}},
		{"select done", "\r", bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash"}},
		{"poll", "python3 -c 'import select; p=select.poll(); p.register(0,select.POLLIN); p.poll()'\r", bridge.TerminalState{Echo: true, Canonical: true, Reading: true, Command: "python"}},
		{"poll done", "\r", bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash"}},
		{"epoll", "python3 -c 'import select; p=select.epoll(); p.register(0,select.EPOLLIN); p.poll()'\r", bridge.TerminalState{Echo: true, Canonical: true, Reading: true, Command: "python"}},
		{"epoll done", "\r", bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash"}},
		{"poll of something else", "python3 -c 'import select,os; r,w=os.pipe(); p=select.poll(); p.register(r,select.POLLIN); p.poll()'\r", bridge.TerminalState{Echo: true, Canonical: true, Command: "python"}},
		{"ended", "\x03", bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash"}},
	} {
		if _, err := io.WriteString(p.Stdin(), step.keys); err != nil {
			t.Fatal(err)
		}
		expectState(t, c, step.name, step.want)
	}
	if _, err := io.WriteString(p.Stdin(), "cd sub\r"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		s, err := c.State(t.Context())
		return err == nil && s.Directory == filepath.Join(a.Dir, "sub")
	})
}

// expectState waits for a state. Python's file may carry a version.
func expectState(t *testing.T, c bridge.TerminalConn, name string, want bridge.TerminalState) {
	t.Helper()
	var got bridge.TerminalState
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		var err error
		if got, err = c.State(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same := got
		same.Foreground, same.Directory = 0, ""
		if len(same.Command) > 6 && same.Command[:6] == "python" {
			same.Command = "python"
		}
		if same == want && got.Foreground > 0 {
			return
		}
	}
	t.Fatalf("%s: got %+v, want %+v", name, got, want)
}

// expectAlone waits for an answer. A no has to stay: what starts a program may be there for a moment.
func expectAlone(t *testing.T, c bridge.TerminalConn, name string, want bool) {
	t.Helper()
	need, same := 1, 0
	if !want {
		need = 20
	}
	for end := time.Now().Add(30 * time.Second); same < need; time.Sleep(5 * time.Millisecond) {
		got, err := c.Alone(t.Context())
		switch {
		case err != nil:
			t.Fatalf("%s: %v", name, err)
		case got == want:
			same++
		default:
			same = 0
		}
		if time.Now().After(end) {
			t.Fatalf("%s: alone does not become %v", name, want)
		}
	}
}

// Whoever else has the terminal open could write what a completion is thought to have put in.
func TestAlone(t *testing.T) {
	a := agenttest.Start(t)
	p, c := shell(t, a, newBridge(t, a))
	prompt := bridge.TerminalState{ShellForeground: true, Reading: true, Command: "bash"}
	nested := prompt
	nested.Nested = true
	const apart = "setsid sh -c 'echo $$ >pid; exec sleep 1000' "
	const killed = "until kill $(cat pid); do sleep 0.01; done; rm pid\r"
	for _, step := range []struct {
		name, keys string
		state      bridge.TerminalState
		want       bool
	}{
		{"prompt", "", prompt, true},
		{"job in the background", "sleep 1000 &\r", prompt, false},
		{"its end", "kill %1; wait\r", prompt, true},
		{"orphan", "(sleep 1000 & echo $! >pid)\r", prompt, false},
		{"its end", killed, prompt, true},
		{"job that can open /dev/tty", "sleep 1000 </dev/null >/dev/null 2>&1 &\r", prompt, false},
		{"its end", "kill %1; wait\r", prompt, true},
		{"session of its own", apart + "&\r", prompt, false},
		{"its end", killed, prompt, true},
		{"that has let go of the terminal", apart + "</dev/null >/dev/null 2>&1 &\r", prompt, true},
		{"but for /dev/tty", killed + apart + "3>/dev/tty </dev/null >/dev/null 2>&1 &\r", prompt, false},
		{"but for its errors", killed + apart + "</dev/null >/dev/null &\r", prompt, false},
		{"its end", killed, prompt, true},
		{"nested shell", "bash --norc -i\r", nested, true},
		{"and its job", "sleep 1000 & p=$!\r", nested, false},
		{"its end", "kill $p; wait\r", nested, true},
		{"pipeline", "cat | cat\r", bridge.TerminalState{Echo: true, Canonical: true, Reading: true, Command: "cat"}, false},
	} {
		if _, err := io.WriteString(p.Stdin(), step.keys); err != nil {
			t.Fatal(err)
		}
		expectState(t, c, step.name, step.state)
		expectAlone(t, c, step.name, step.want)
	}
}

// The files in which keys may be bound are those of the shell that has the terminal now.
func TestShellFiles(t *testing.T) {
	a := agenttest.Start(t)
	inputrc, bashrc, zshrc := `"\C-t": accept-line`, "# "+strings.Repeat("x", 40_000), "bindkey '^T' accept-line"
	for name, text := range map[string]string{".inputrc": inputrc, ".bashrc": bashrc, "z/.zshrc": zshrc} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(a.Dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(a.Dir, name), []byte(text), 0o644))
	}
	p, c := shell(t, a, newBridge(t, a))
	prompt := bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash"}
	for _, step := range []struct {
		keys  string
		state bridge.TerminalState
		want  map[string]string
	}{
		{"export ZDOTDIR=" + a.Dir + "/z; HOME=" + a.Dir + " bash --norc -i\r", prompt, map[string]string{".inputrc": inputrc, ".bashrc": bashrc}},
		{"zsh -fi\r", bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "zsh"}, map[string]string{"z/.zshrc": zshrc}},
		{"exit\r", prompt, map[string]string{".inputrc": inputrc, ".bashrc": bashrc}},
		{"cat\r", bridge.TerminalState{Echo: true, Canonical: true, Reading: true, Command: "cat"}, nil},
	} {
		if _, err := io.WriteString(p.Stdin(), step.keys); err != nil {
			t.Fatal(err)
		}
		expectState(t, c, step.keys, step.state)
		got, err := c.Files(t.Context())
		must(t, err)
		found := map[string]string{}
		for _, f := range got.Files {
			if name, ok := strings.CutPrefix(f.Name, a.Dir+"/"); ok {
				found[name] = f.Text
			}
			if f.Keys != strings.HasSuffix(f.Name, "inputrc") {
				t.Errorf("%s: keys %v", f.Name, f.Keys)
			}
		}
		want := step.state.Command
		if step.want == nil {
			want = ""
		}
		if again, err := c.Files(t.Context()); err != nil || again.Same != (want != "") || len(again.Files) > 0 {
			t.Errorf("%q, asked again: %+v, %v", step.keys, again, err)
		}
		if got.Command != want || !maps.Equal(found, step.want) {
			t.Errorf("%q: %q with %d files: %.200q", step.keys, got.Command, len(found), found)
		}
	}
}

// A shell whose editor is at work on a key has its files told as one that waits for keys has.
func TestFilesOfAShellAtWork(t *testing.T) {
	a := agenttest.Start(t)
	p, c := shell(t, a, newBridge(t, a))
	at, done := filepath.Join(a.Dir, "at"), filepath.Join(a.Dir, "done")
	keys := "zsh -fi\rw() { : >" + at + "; while [[ ! -e " + done + " ]]; do :; done }; zle -N w; bindkey '^T' w\r\x14"
	if _, err := io.WriteString(p.Stdin(), keys); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { _, err := os.Stat(at); return err == nil })
	defer func() { _ = os.WriteFile(done, nil, 0o644) }()
	expectState(t, c, "at work", bridge.TerminalState{ShellForeground: true, Nested: true, Command: "zsh"})
	if got, err := c.Files(t.Context()); err != nil || got.Command != "zsh" {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkAlone(b *testing.B) {
	a := agenttest.Start(b)
	_, c := shell(b, a, newBridge(b, a))
	for b.Loop() {
		if _, err := c.Alone(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTerminalEndsWithItsSession(t *testing.T) {
	a := agenttest.Start(t)
	p, c := shell(t, a, newBridge(t, a))
	must(t, p.Close())
	waitFor(t, func() bool {
		_, err := c.State(t.Context())
		return errors.Is(err, bridge.ErrNoTerminal)
	})
}

func TestTerminalAskedInTooLittleTime(t *testing.T) {
	a := agenttest.Start(t)
	_, c := shell(t, a, newBridge(t, a))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		_, _ = c.State(over)
		if _, err := c.State(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkTerminalState measures one question over loopback; the budget is 5 ms at the 99th percentile.
func BenchmarkTerminalState(b *testing.B) {
	a := agenttest.Start(b)
	_, c := shell(b, a, newBridge(b, a))
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		if _, err := c.State(b.Context()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func TestStat(t *testing.T) {
	a := agenttest.Start(t)
	b := newBridge(t, a)
	name := filepath.Join(a.Dir, "ten")
	must(t, os.WriteFile(name, make([]byte, 10), 0o600))
	must(t, os.Symlink("ten", filepath.Join(a.Dir, "link")))
	for path, want := range map[string]bridge.File{
		name:                         {Exists: true, Kind: "file", Size: 10},
		filepath.Join(a.Dir, "link"): {Exists: true, Kind: "file", Size: 10},
		name + "/below":              {},
		name + "-not":                {},
	} {
		if got, err := b.Stat(t.Context(), "s", "alice", a.Target, path); err != nil || got != want {
			t.Errorf("%s: %+v %v", path, got, err)
		}
	}
	for _, path := range []string{"", "relative", "/proc/self/root/etc/passwd", "/a\x00b"} {
		if got, err := b.Stat(t.Context(), "s", "alice", a.Target, path); err == nil {
			t.Errorf("%q: %+v", path, got)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
