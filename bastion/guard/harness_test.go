package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/facts"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/internal/tty"
	"github.com/podbastion/podbastion/shellparse/keyfile"
)

// world is a real shell on a local terminal with a guard in between, and this machine as its node.
type world struct {
	t     testing.TB
	guard *Guard
	tty   *os.File
	pid   int
	home  string
	ended chan error // Run's result

	mu       sync.Mutex
	screen   bytes.Buffer
	events   []event
	finished []int
	changed  chan struct{}
	answer   func(p []byte) // is shown what the client is
	replies  chan string    // what the client's terminal answers
}

type event struct {
	Command
	Verdict
	ran bool // the forbidden file was there before
}

// setup is what a test wants of its world.
type setup struct {
	argv   []string // the shell; /bin/bash by default
	gate   bool
	node   bool
	files  map[string]string
	decide func(c Command) Verdict
	judge  *Judge
	record func(c Command) error
	env    []string
	places bool                   // the client's terminal says where its cursor is
	moves  int                    // how often the node cannot tell which keys are bound
	loses  func(keys []byte) bool // tells which keys never reach the shell
}

// denyTouch refuses every line with the word touch: each test's forbidden program leaves a file.
func denyTouch(c Command) Verdict {
	switch {
	case c.Unseen:
		return Verdict{Action: auth.Deny, Reason: "unsure"}
	case strings.Contains(c.Line, "touch"):
		return Verdict{Action: auth.Deny, Rule: "no-touch", Message: "no touching"}
	}
	return Verdict{Action: auth.Allow}
}

// rules makes a judge of programs.
func rules(t testing.TB, mode auth.Mode, action auth.Action, programs ...string) *Judge {
	t.Helper()
	r := auth.Rule{ID: "rule", Action: action, FileLargerThan: -1, Message: "not here"}
	for _, name := range programs {
		g, err := glob.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		r.Programs = append(r.Programs, g)
	}
	p := policy.Compile(&auth.Commands{Mode: mode, Rules: []auth.Rule{r}})
	return &Judge{Rules: func() *policy.Policy { return p }}
}

const prompts = "PS1='>> '; PS2='.. '; HISTFILE=/dev/null; unset PROMPT_COMMAND MAIL; alias pwd=pwd\n"
const zshPrompts = "PROMPT='>> '; PROMPT2='.. '; unset RPROMPT\n"

func newWorld(t testing.TB, s setup) *world {
	t.Helper()
	w := &world{t: t, home: t.TempDir(), changed: make(chan struct{}, 1), replies: make(chan string, 1024), ended: make(chan error, 1)}
	if s.places {
		w.answering()
	}
	if s.argv == nil {
		s.argv = []string{"/bin/bash"}
	}
	files := map[string]string{".bash_profile": prompts, ".zshrc": zshPrompts, ".profile": prompts,
		".config/fish/config.fish":                          "function fish_prompt; echo -n '>> '; end\nfunction fish_greeting; end\n",
		".local/share/fish/generated_completions/none.fish": ""} // else its first start reads every manual page
	for name, text := range s.files {
		files[name] = text
	}
	for name, text := range files {
		file := filepath.Join(w.home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Size: tty.Size{Cols: 80, Rows: 24}, Client: w, Shell: filepath.Base(s.argv[0])}
	env := append([]string{"HOME=" + w.home, "TERM=xterm-256color", "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HISTFILE=/dev/null", "ENV=" + w.home + "/.profile"}, s.env...)
	argv := s.argv
	if s.gate {
		g, ok := gate.New(s.argv[0])
		if !ok {
			t.Fatalf("no gate for %s", s.argv[0])
		}
		o.Gate, argv = g, g.Argv()
		env = append(env, g.Env()...)
	} else if filepath.Base(argv[0]) == "bash" && len(argv) == 1 {
		argv = []string{argv[0], "--login"}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = w.home, env
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	w.tty = closable(t, terminal)
	w.pid = cmd.Process.Pid
	o.Target = &road{to: w.tty, loses: s.loses}
	if s.node {
		o.Terminal = &node{tty: w.tty, pid: w.pid, moves: s.moves}
	}
	if s.decide == nil {
		s.decide = denyTouch
	}
	o.Decide = func(_ context.Context, c Command) Verdict { return s.decide(c) }
	if s.judge != nil {
		s.judge.Home, o.Decide = w.home, s.judge.Decide
	}
	o.Record = func(_ context.Context, c Command, v Verdict) error {
		if s.record != nil {
			if err := s.record(c); err != nil {
				return err
			}
		}
		if s.judge != nil {
			s.judge.Ran(v)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, event{c, v, w.exists("F")})
		return nil
	}
	o.Finished = func(_ Command, status int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.finished = append(w.finished, status)
	}
	w.guard = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { w.ended <- w.guard.Run(ctx) })
	work.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, err := w.tty.Read(buffer)
			if n > 0 {
				if err := w.guard.FromTarget(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	work.Go(func() {
		for {
			select {
			case k := <-w.replies:
				_ = w.guard.FromClient([]byte(k)) // a closed guard takes none
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		w.guard.Close()
		_ = unix.Kill(-w.pid, unix.SIGKILL)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = w.tty.Close()
		work.Wait()
	})
	return w
}

// closable makes a terminal one whose Close ends reading and writing, whoever else still has it: the library hands out
// one that waits in the kernel.
func closable(t testing.TB, f *os.File) *os.File {
	t.Helper()
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// Write is the client's screen.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.screen.Write(p)
	if w.answer != nil {
		w.answer(p)
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

// shown is all that the client was shown.
func (w *world) shown() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.screen.String()
}

// recorded is all that was remembered.
func (w *world) recorded() []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

func (w *world) keys(k string) {
	w.t.Helper()
	if err := w.guard.FromClient([]byte(k)); err != nil {
		w.t.Fatal(err)
	}
}

var aKey = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z~]|\x1b.|(?s:.)`)

// slowly types one key at a time, as a person does; a keyboard sends what a key is whole.
func (w *world) slowly(k string) {
	w.t.Helper()
	for _, key := range aKey.FindAllString(k, -1) {
		w.keys(key)
		time.Sleep(3 * time.Millisecond)
	}
}

func (w *world) wait(what string, cond func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		w.mu.Lock()
		ok := cond()
		w.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("no %s; %s", what, w.dump())
		}
		select {
		case <-w.changed:
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// dump tells all that there is to know of a world where something does not come.
func (w *world) dump() string {
	w.guard.mu.Lock()
	inside := fmt.Sprintf("hook %+v, queue %q, ran %v, closed %v", w.guard.hook, w.guard.queue, w.guard.ran, w.guard.closed())
	w.guard.mu.Unlock()
	state, err := (&node{tty: w.tty, pid: w.pid}).State(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	shown := w.screen.String()
	return fmt.Sprintf("screen %q; guard: %s; node: %+v %v; events %+v", shown[max(0, len(shown)-4096):], inside, state, err, w.events)
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\(B|\x1b\][^\a]*\a|\r`)

func plain(s string) string { return escapes.ReplaceAllString(s, "") }

// shows waits until the screen's text ends in a text.
func (w *world) shows(text string) {
	w.t.Helper()
	w.wait(fmt.Sprintf("screen with %q", text), func() bool { return strings.Contains(plain(w.screen.String()), text) })
}

func (w *world) prompt() {
	w.t.Helper()
	w.wait("prompt", func() bool { return strings.HasSuffix(strings.TrimRight(plain(w.screen.String()), " "), ">>") })
}

// alive proves that the session goes on: a permitted line runs.
func (w *world) alive() {
	w.t.Helper()
	w.keys("echo al''ive\r")
	w.wait("sign of life", func() bool { return strings.Contains(plain(w.screen.String()), "\nalive\n") })
}

func (w *world) exists(name string) bool {
	_, err := os.Stat(filepath.Join(w.home, name))
	return err == nil
}

// lines are the recorded lines with their actions.
func (w *world) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, e := range w.events {
		out = append(out, string(e.Action)+" "+e.Before+e.Line)
	}
	return out
}

// road is the way of the keys to the shell, on which some are lost.
type road struct {
	to    io.Writer
	loses func(keys []byte) bool
}

func (r *road) Write(p []byte) (int, error) {
	if r.loses != nil && r.loses(p) {
		return len(p), nil
	}
	return r.to.Write(p)
}

// node tells the terminal's state from this machine's /proc, by the agent's own means.
type node struct {
	tty   *os.File
	pid   int
	moves int
}

var errGone = errors.New("gone")

func (n *node) State(context.Context) (State, error) {
	s, err := proc.ReadTerminal(proc.Identify(n.pid))
	if err != nil {
		return State{}, err
	}
	return State{
		Echo: s.Echo, Canonical: s.Canonical, Own: s.Shell && !s.Nested && slices.Contains([]string{"bash", "sh", "dash", "ash", "zsh", "fish", "ksh", "mksh"}, s.Command), Shell: s.Nested && !s.Scripted,
		Program: s.Command, Busybox: s.Busybox, Directory: s.Directory, Reading: s.Reading, Unread: s.UnreadInput, Unsure: s.Unsure,
	}, nil
}

// Keys reads the files as the agent does, and what they bind as a session does.
func (n *node) Keys(context.Context) (string, []keyfile.Binding, error) {
	if n.moves > 0 {
		n.moves--
		return "", nil, errGone
	}
	s, err := proc.ReadTerminal(proc.Identify(n.pid))
	if err != nil || !s.Shell || s.Canonical || s.Busybox {
		return "", nil, err
	}
	files, err := facts.StartFiles(s.Leader(), s.Command)
	var read []keyfile.File
	for _, f := range files {
		read = append(read, keyfile.File{Text: f.Text, Readline: f.Keys})
	}
	return s.Command, keyfile.Read(s.Command, read), err
}

// Alone asks as the agent does: a terminal's name says little, another container's may be called the same.
func (n *node) Alone(context.Context) (bool, error) { return proc.Alone(proc.Identify(n.pid)) }
