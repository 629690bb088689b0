//go:build real

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a program on a pseudo-terminal, and what it has written so far.
type terminal struct {
	t    testing.TB
	cmd  *exec.Cmd
	tty  *os.File
	done chan struct{}

	mu   sync.Mutex // guards out and seen
	out  strings.Builder
	seen int // what expect has gone past
}

func (w *world) terminal(t testing.TB, user string, args ...string) *terminal {
	t.Helper()
	account, _, _ := strings.Cut(user, "+")
	argv := append(w.sshArgs(account), "-tt", "-l", user, "127.0.0.1")
	return openTerminal(t, exec.Command("ssh", append(argv, args...)...))
}

func openTerminal(t testing.TB, cmd *exec.Cmd) *terminal {
	t.Helper()
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, cmd: cmd, tty: tty, done: make(chan struct{})}
	go func() {
		defer close(x.done)
		buf := make([]byte, 32<<10)
		for {
			n, err := tty.Read(buf)
			x.mu.Lock()
			x.out.Write(buf[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = tty.Close()
		<-x.done
		_ = cmd.Wait()
	})
	return x
}

func (x *terminal) send(s string) {
	x.t.Helper()
	if _, err := x.tty.WriteString(s); err != nil {
		x.t.Fatalf("typing %q: %v", s, err)
	}
}

// expect waits until the expression matches what came after the last match, and returns the match.
func (x *terminal) expect(expr string) string {
	x.t.Helper()
	re := regexp.MustCompile(expr)
	var found string
	eventually(x.t, 30*time.Second, func() error {
		x.mu.Lock()
		defer x.mu.Unlock()
		rest := x.out.String()[x.seen:]
		loc := re.FindStringIndex(rest)
		if loc == nil {
			return fmt.Errorf("%q is not on the screen; it shows %q", expr, rest)
		}
		found = rest[loc[0]:loc[1]]
		x.seen += loc[1]
		return nil
	})
	return found
}

// screen is all that was written.
func (x *terminal) screen() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.out.String()
}

// code waits for the program's end.
func (x *terminal) code() int {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(30 * time.Second):
		x.t.Fatalf("it does not end; its screen: %q", x.screen())
	}
	_ = x.cmd.Wait()
	return x.cmd.ProcessState.ExitCode()
}

const prompt = `[#$] `

func TestShellOnTerminal(t *testing.T) {
	w := sharedWorld(t)
	for _, address := range []string{"infra+debug", "shop+tool-0"} {
		t.Run(address, func(t *testing.T) {
			x := w.terminal(t, "alice+"+address)
			x.expect(prompt)
			x.send("stty size; echo term=$TERM; tty >/dev/null && echo on a terminal\r")
			x.expect(`24 80\r\n`)
			x.expect(`term=xterm-256color\r\n`)
			x.expect(`on a terminal\r\n`)
			if err := pty.Setsize(x.tty, &pty.Winsize{Rows: 50, Cols: 132}); err != nil {
				t.Fatal(err)
			}
			eventually(t, 10*time.Second, func() error {
				x.send("stty size\r")
				if got := x.expect(`\d+ \d+\r\n`); got != "50 132\r\n" {
					return fmt.Errorf("size %q", got)
				}
				return nil
			})
			x.send("sleep 600\r")
			namespace, name, _ := strings.Cut(address, "+")
			w.running(t, w.pod(namespace, name), "sleep 600")
			x.send("\x03")
			x.expect(prompt)
			x.send("echo status=$?\r")
			x.expect(`status=130\r\n`)
			x.send("exit 7\r")
			if code := x.code(); code != 7 {
				t.Errorf("exit code %d, want 7", code)
			}
		})
	}
}

func TestUserOfRole(t *testing.T) {
	w := sharedWorld(t)
	x := w.terminal(t, "dev+infra+debug")
	x.expect(prompt)
	x.send("id -un; echo $HOME $SHELL\r")
	x.expect(`\bdev\r\n`)
	x.expect(`/home/dev /bin/bash\r\n`)
	x.send("exit\r")
	if code := x.code(); code != 0 {
		t.Errorf("code %d", code)
	}
}

func TestPicker(t *testing.T) {
	w := sharedWorld(t)
	x := w.terminal(t, "alice")
	x.expect(`debug`)
	x.send("debug")
	x.expect(`debug`)
	x.send("\r")
	x.expect(prompt)
	x.send("cat /whoami\r")
	x.expect(`infra/debug/app\r\n`)
	x.send("exit\r")
	x.code()

	if got := w.ssh(t, "bob", nil, ""); !strings.Contains(got.stdout+got.stderr, "web-6d4b75cb6d-new") || strings.Contains(got.stdout+got.stderr, "tool-0") {
		t.Errorf("without a terminal, the list of what bob may reach: %+v", got)
	}
	for _, word := range []string{"pods", "whoami", "help"} {
		if got := w.ssh(t, "bob", nil, word); got.code != 0 || got.stdout == "" {
			t.Errorf("%s: %+v", word, got)
		}
	}
}

// A client that is killed takes its processes with it, also one that ignores SIGHUP; nothing else in the container goes.
func TestClientKilled(t *testing.T) {
	w := sharedWorld(t)
	debug := w.pod("infra", "debug")
	const list = "ps -eo args= | grep -v -e 'ps -eo' -e defunct | sort" // nobody reaps there: the first process is sleep
	before := w.inside(t, debug, "app", "sh", "-c", list)
	x := w.terminal(t, "alice+infra+debug")
	x.expect(prompt)
	x.send("nohup sleep 4711 >/dev/null 2>&1 &\r")
	x.expect(prompt)
	x.send("trap '' HUP; (trap '' HUP TERM; sleep 4712; true) & sleep 4713\r")
	eventually(t, 10*time.Second, func() error {
		if got := w.inside(t, debug, "app", "ps", "-eo", "args"); !strings.Contains(got, "sleep 4713") || !strings.Contains(got, "sleep 4711") {
			return fmt.Errorf("not running yet: %s", got)
		}
		return nil
	})
	if err := x.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, func() error {
		if now := w.inside(t, debug, "app", "sh", "-c", list); now != before {
			return fmt.Errorf("left in the container:\n%s\nbefore:\n%s", now, before)
		}
		return nil
	})
}
