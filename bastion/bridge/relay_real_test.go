//go:build real

package bridge_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/bastion/bridge"
)

// Programs that pass keys on to a terminal of their own: the state is that of whoever gets the keys in the end.
func TestTerminalStateBehindRelays(t *testing.T) {
	own := bridge.TerminalState{ShellForeground: true, Reading: true, Command: "bash"}
	bash := bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash"}
	dash := bridge.TerminalState{Echo: true, Canonical: true, ShellForeground: true, Nested: true, Reading: true, Command: "dash"}
	hidden := bridge.TerminalState{Canonical: true, ShellForeground: true, Nested: true, Reading: true, Command: "bash"}
	cat := bridge.TerminalState{Echo: true, Canonical: true, Reading: true, Command: "cat"}
	raw := bridge.TerminalState{Reading: true, Command: "less"}
	scripted := dash
	scripted.Scripted = true
	unsure := bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "bash", Unsure: true}
	type step struct {
		name, keys string
		want       bridge.TerminalState
	}
	inside := func(start string) []step {
		return []step{
			{"shell", start, bash},
			{"secret", "read -s x\r", hidden},
			{"secret given", "hush\r", bash},
			{"program", "cat\r", cat},
			{"end of file", "\x04", bash},
			{"program in raw mode", "less text\r", raw},
			{"raw program left", "q", bash},
			{"script", "dash -c 'read x'\r", scripted},
			{"script over", "\r", bash},
			{"relay in the relay", "script -qc dash /dev/null\r", dash},
			{"and a third", "sudo -n su -P -c 'exec bash --norc'\r", bash},
			{"left", "exit\r", dash},
			{"left again", "exit\r", bash},
			{"over", "exit\r", own},
		}
	}
	for name, steps := range map[string][]step{
		"sudo":   inside("sudo -n bash --norc\r"),
		"su":     inside("su --pty -c 'exec bash --norc'\r"),
		"script": inside("script -qc 'exec bash --norc' /dev/null\r"),
		"python": inside("python3 -c 'import pty; pty.spawn([\"bash\", \"--norc\"])'\r"),
		"expect": inside("expect -c 'spawn bash --norc; interact'\r"),
		"tmux": {
			{"one window", "tmux -L one -f /dev/null new 'exec bash --norc'\r", bash},
			{"program", "cat\r", cat},
			{"end of file", "\x04", bash},
			{"two windows", "tmux -L one split-window 'exec bash --norc'\r", unsure},
			{"one again", "exit\r", bash},
			{"a program's window", "tmux -L one new-window cat\r", unsure},
			{"its end", "\x04", bash},
			{"over", "exit\r", own},
		},
		"too deep": {
			{"one", "script -qc dash /dev/null\r", dash}, {"two", "script -qc dash /dev/null\r", dash},
			{"three", "script -qc dash /dev/null\r", dash}, {"four", "script -qc dash /dev/null\r", dash},
			{"five", "script -qc dash /dev/null\r", bridge.TerminalState{ShellForeground: true, Nested: true, Reading: true, Command: "script", Unsure: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := agenttest.Start(t)
			must(t, os.WriteFile(filepath.Join(a.Dir, "text"), make([]byte, 10000), 0o600))
			p, c := shell(t, a, newBridge(t, a))
			expectState(t, c, "prompt", own)
			for _, s := range steps {
				if _, err := io.WriteString(p.Stdin(), s.keys); err != nil {
					t.Fatal(err)
				}
				expectState(t, c, s.name, s.want)
				if s.want == bash || s.want == dash {
					expectAlone(t, c, s.name, name != "tmux") // which draws what others write
				}
			}
		})
	}
}

// A thread that is not the first may be the one that reads, as in Java and Go.
func TestTerminalReadByAnotherThread(t *testing.T) {
	a := agenttest.Start(t)
	p, c := shell(t, a, newBridge(t, a))
	const program = "import threading,sys; t=threading.Thread(target=sys.stdin.readline); t.start(); t.join()"
	if _, err := io.WriteString(p.Stdin(), "python3 -c '"+program+"'\r"); err != nil {
		t.Fatal(err)
	}
	expectState(t, c, "thread", bridge.TerminalState{Echo: true, Canonical: true, Reading: true, Command: "python"})
}
