package gate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const bashPath = "/bin/bash"

// submits are ways to submit a line; want is what the gate must tell before it runs.
var submits = []struct{ name, keys, want string }{
	{"enter", "touch F\r", "touch F"},
	{"newline", "touch F\n", "touch F"},
	{"operate", "touch F\x0f", "touch F"},
	{"edited", "ouch Fx\x01t\x05\x7f\r", "touch F"},
	{"quotes", "touch 'F' \"\\\"\" $'\\x46' ü \\\\\r", "touch 'F' \"\\\"\" $'\\x46' ü \\\\"},
	{"empty", "\r", ""},
}

func TestBashTellsBeforeItRuns(t *testing.T) {
	for _, c := range submits {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, bashPath, bashHome)
			s.silent = true
			s.prompt(1)
			s.keys(c.keys)
			got := s.line(1)
			if got.Text != c.want || got.Expanded != c.want {
				t.Errorf("told %q, %q; want %q", got.Text, got.Expanded, c.want)
			}
			if _, err := os.Stat(filepath.Join(s.home, "F")); err == nil {
				t.Error("it ran before the answer")
			}
			s.keys(string(s.gate.Reply(1, true)))
			s.prompt(2)
			if _, err := os.Stat(filepath.Join(s.home, "F")); err != nil && c.want != "" {
				t.Error("it did not run after the answer", s.screen.String())
			}
		})
	}
}

// typed are keys, and the lines that bash must tell for them, after history expansion, in order.
var typed = []struct {
	name, keys string
	want       []string
}{
	{"recalled", "echo one\r\x1b[A\r", []string{"echo one", "echo one"}},
	{"searched", "echo one\recho two\r\x12one\r", []string{"echo one", "echo two", "echo one"}},
	{"searched and edited", "echo one\r\x12one\x05s\r", []string{"echo one", "echo ones"}},
	{"operate", "pwd;:  1\rpwd;:  2\r\x1b[A\x1b[A\x0f\r", []string{"pwd;:  1", "pwd;:  2", "pwd;:  1", "pwd;:  2"}},
	{"bang bang", "echo one\r!!s\r", []string{"echo one", "echo ones"}},
	{"bang number", "echo one\recho two\r!-2 x\r", []string{"echo one", "echo two", "echo one x"}},
	{"caret", "echo one\r^one^two\r", []string{"echo one", "echo two"}},
	{"bang in quotes", "echo '!!'\r", []string{"echo '!!'"}},
	{"continued", "echo 'a\rb'\recho c\\\rd\r", []string{"echo 'a", "b'", "echo c\\", "d"}},
	{"three lines", "{\recho F\r}\r", []string{"{", "echo F", "}"}},
	{"vi insert", "set -o vi\recho one\r", []string{"set -o vi", "echo one"}},
	{"vi command", "set -o vi\recho one\x1bx\r", []string{"set -o vi", "echo on"}},
	{"paste", "\x1b[200~echo one\necho two\x1b[201~\r", []string{"echo one\necho two"}},
	{"plain paste", "echo one\recho two\recho three\r", []string{"echo one", "echo two", "echo three"}},
	{"macro", `bind '"\C-t": "echo one\necho two\n"'` + "\r\x14", []string{`bind '"\C-t": "echo one\necho two\n"'`, "echo one", "echo two"}},
	{"rebound key", `bind '"\C-t": accept-line'` + "\recho one\x14", []string{`bind '"\C-t": accept-line'`, "echo one"}},
	{"rebound enter", `bind 'RETURN: accept-line'` + "\recho one\r", []string{`bind 'RETURN: accept-line'`, "echo one"}},
	{"vi editing in function", "f() { set -o vi; }\rf\recho one\r", []string{"f() { set -o vi; }", "f", "echo one"}},
	{"long", "echo " + string(repeat('x', 300)) + "\r", []string{"echo " + string(repeat('x', 300))}},
	{"strict shell", "set -euo pipefail\recho one\rset -x\recho two\r", []string{"set -euo pipefail", "echo one", "set -x", "echo two"}},
	{"no globbing", "set -f; IFS=abc\recho one\r", []string{"set -f; IFS=abc", "echo one"}},
}

func repeat(c byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = c
	}
	return b
}

func TestBashTellsWhateverWay(t *testing.T) {
	for _, c := range typed {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, bashPath, bashHome)
			s.prompt(1)
			told := 0
			// A terminal's user waits for no one, but two submit keys unanswered at once are the guard's duty to prevent.
			rest := c.keys
			for rest != "" {
				i := 0
				for i < len(rest) && rest[i] != '\r' && rest[i] != 0x0f {
					i++
				}
				if i < len(rest) {
					i++
				}
				s.keys(rest[:i])
				if rest[i-1] == '\r' || rest[i-1] == 0x0f {
					told++
					s.line(told)
					s.settled()
				}
				rest = rest[i:]
			}
			for i, want := range c.want {
				got := s.line(i + 1)
				if got.Expanded != want {
					t.Errorf("line %d told as %q, want %q", i+1, got.Expanded, want)
				}
			}
		})
	}
}

func TestBashDeniedLineStaysUnrun(t *testing.T) {
	for _, keys := range []string{"touch forbidden\r", "touch forbidden\n", "touch forbidden\x0f", "{\rtouch forbidden\r", "touch forbidden\x01#\x1b#\r"} {
		s := start(t, bashPath, bashHome)
		s.prompt(1)
		for i, line := range strings.SplitAfter(keys, "\r") {
			if s.keys(line); line != "" {
				s.line(i + 1)
			}
		}
		s.interrupt()
		s.prompt(2)
		if _, err := os.Stat(filepath.Join(s.home, "forbidden")); err == nil {
			t.Errorf("%q ran", keys)
		}
		s.keys("echo next\r")
		s.wait("next line", func() bool {
			return s.reports[len(s.reports)-1].Kind == Prompt && s.reports[len(s.reports)-2].Text == "echo next"
		})
	}
}

// An interrupt while the answer is awaited gives the line up; the hook works for the next one.
func TestBashInterruptedWhileWaiting(t *testing.T) {
	s := start(t, bashPath, bashHome)
	s.silent = true
	s.prompt(1)
	s.keys("touch F\r")
	s.line(1)
	s.keys("\x03")
	s.prompt(2)
	s.keys("touch G\r")
	if got := s.line(2).Text; got != "touch G" {
		t.Errorf("told %q", got)
	}
	s.keys(string(s.gate.Reply(2, true)))
	s.prompt(3)
	if _, err := os.Stat(filepath.Join(s.home, "F")); err == nil {
		t.Error("the interrupted line ran")
	}
}

// A wrong answer is no answer, and the right one is waited for: an old one, one without the nonce, one for another line.
func TestBashTakesOnlyItsOwnAnswer(t *testing.T) {
	for _, answer := range []string{"run.", "00000000000000000000000000000000;1;run.", "%;2;run.", "%;1;stay.", "%;1;runs."} {
		s := start(t, bashPath, bashHome)
		s.silent = true
		s.prompt(1)
		s.keys("touch F\r")
		s.line(1)
		s.keys(strings.ReplaceAll(answer, "%", s.gate.nonce))
		s.keys(string(s.gate.Reply(1, false)))
		s.wait("line drawn again", func() bool { return strings.Count(s.screen.String(), "touch F") == 2 })
		s.interrupt()
		s.prompt(2)
		if _, err := os.Stat(filepath.Join(s.home, "F")); err == nil {
			t.Errorf("%q let it run", answer)
		}
	}
}

func TestBashEditAndExecute(t *testing.T) {
	home := map[string]string{"ed": "#!/bin/sh\nsed -i s/one/two/ \"$1\"\n"}
	for k, v := range bashHome {
		home[k] = v + "chmod +x ~/ed; VISUAL=~/ed\n"
	}
	s := start(t, bashPath, home)
	s.prompt(1)
	s.keys("echo one\x18\x05")
	if got := s.line(1); got.Expanded != s.home+"/ed" || got.Function != "edit" {
		t.Errorf("told %+v for the editor", got)
	}
	if got := s.line(2); got.Text != "echo two" {
		t.Errorf("told %q for what was edited", got.Text)
	}
	s.wait("output", func() bool { return strings.Contains(s.screen.String(), "\rtwo\r\n") })
}

func TestBashTellsStatusAndDirectory(t *testing.T) {
	s := start(t, bashPath, bashHome)
	s.prompt(1)
	s.keys("(exit 42)\r")
	s.prompt(2)
	s.keys("mkdir 'a b;c'; cd 'a b;c'; echo $?\r")
	s.prompt(3)
	last := s.reports[len(s.reports)-1]
	if last.Directory != s.home+"/a b;c" || last.Status != 0 || s.reports[2].Status != 42 {
		t.Errorf("reports %+v", s.reports)
	}
	s.keys("(exit 7)\r")
	s.prompt(4)
	s.keys("echo st=$?\r")
	s.wait("status kept", func() bool { return strings.Contains(s.screen.String(), "st=7") })
}

// The shell that the user gets is the login shell they would have had, but for what the gate is made of.
func TestBashIsTheSameShell(t *testing.T) {
	const dump = `{ shopt; set -o; declare -p | grep -v -e __podbastion -e BASHPID -e ' EPOCH' -e RANDOM -e SECONDS -e LINENO -e ' _=' -e BASH_ARG -e BASH_LINENO -e BASH_SOURCE -e FUNCNAME -e PPID -e SHELLOPTS -e BASHOPTS -e HOME= -e PWD= -e ' PROMPT_COMMAND='; declare -F | grep -v __podbastion; trap -p; jobs; echo "$0 $-"; ls -l /proc/$$/fd | grep -c -e /dev; grep -c PODBASTION /proc/$$/environ; }`
	home := map[string]string{
		".bash_profile": "PROFILE=1; " + strings.ReplaceAll(dump, "{ ", "dump() { ") + "\n. ~/.bashrc\nshopt -q login_shell && LOGIN=yes\ndump >~/early\nPS1='>> '\n",
		".bashrc":       "RC=$BASHOPTS\nalias ll='ls -l'\n[ -z \"$PS1\" ] || INTERACTIVE=yes\nHISTSIZE=77\n",
		".profile":      "touch ~/wrong\n",
	}
	var got [2][2]string
	for i := range got {
		var s *shell
		if i == 0 {
			s = start(t, bashPath, home, "ENV=/etc/hostname")
		} else {
			s = startPlain(t, home, []string{"/bin/sh", "-c", "exec bash -c 'exec -a -bash bash'"}, "ENV=/etc/hostname")
		}
		s.keys("dump >~/late; touch ~/end\r")
		s.waitFile("end")
		for j, name := range []string{"early", "late"} {
			text, err := os.ReadFile(filepath.Join(s.home, name))
			if err != nil {
				t.Fatal(err)
			}
			got[i][j] = strings.ReplaceAll(string(text), s.home, "~")
		}
		if _, err := os.Stat(filepath.Join(s.home, "wrong")); err == nil {
			t.Error("~/.profile was read beside ~/.bash_profile")
		}
		s.keys("exit\r")
	}
	for j := range got[0] {
		if d := difference(got[0][j], got[1][j]); d != "" {
			t.Errorf("lines that differ with and without the gate:\n%s", d)
		}
	}
}

// However soon after the answer an interrupt comes, the line is gone. bash may finish the interrupt only with the next
// key, which Ask is.
func TestBashInterruptedAtOnce(t *testing.T) {
	for delay := time.Duration(0); delay < 2*time.Millisecond; delay += 400 * time.Microsecond {
		s := start(t, bashPath, bashHome)
		s.silent = true
		s.prompt(1)
		s.keys("touch F\r")
		s.line(1)
		s.keys(string(s.gate.Reply(1, false)))
		time.Sleep(delay)
		s.interrupt()
		s.wait("prompt and answer", func() bool { return s.count(Prompt) == 2 && s.count(Answer) >= 1 })
		if last := s.reports[len(s.reports)-1]; last.Kind != Answer || last.Text != "" {
			t.Errorf("after %v: %+v", delay, s.reports)
		}
	}
}

// Asked in the middle of a search, the hook answers with what was found.
func TestBashAskedInASearch(t *testing.T) {
	s := start(t, bashPath, map[string]string{".bash_profile": bashHome[".bash_profile"] + "history -s 'echo found'\n"})
	s.prompt(1)
	s.keys("\x12fou")
	s.wait("found", func() bool { return strings.Contains(s.screen.String(), "nd") })
	s.keys(string(s.gate.Ask()))
	s.wait("answer", func() bool { return s.count(Answer) == 1 })
	if got := s.reports[len(s.reports)-1].Text; got != "echo found" {
		t.Errorf("told %q", got)
	}
}
