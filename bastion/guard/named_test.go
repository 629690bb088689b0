package guard

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
)

// attempt is one way to get a forbidden line run. Its keys are typed as they are; "\x00" stands for a pause until the
// prompt is there again.
type attempt struct {
	name, keys string
	only       string // words: the kinds of shell that it is for; all without
	files      map[string]string
	blinds     bool // what follows cannot be known from the screen alone
	text       bool // how it is typed is of no account
}

var attempts = []attempt{
	{name: "enter", keys: "touch F\r"},
	{name: "newline", keys: "touch F\n"},
	{name: "operate and get next", keys: "touch F\x0f\r"},
	{name: "recalled", keys: ": touch F\r\x00\x1b[A\x01\x1b[3~\x1b[3~\r", only: "bash"},
	{name: "found", keys: "\x12touch\r", only: "bash", files: history},
	{name: "found and edited", keys: "\x12touch\x05x\x7f\r", only: "bash", files: history},
	{name: "run mid-search", keys: "\x12tou\x0f", only: "bash", files: history},
	{name: "line and return in one packet", keys: "touch F\r\r"},
	{name: "type-ahead during sleep", keys: "sleep 1\rtouch F\recho\r"},
	{name: "plain paste, forbidden first", keys: "touch F\necho one\necho two\n"},
	{name: "plain paste, forbidden last", keys: "echo one\necho two\ntouch F\n"},
	{name: "bracketed paste, forbidden first", keys: "\x1b[200~touch F\necho one\n\x1b[201~\r", only: "bash"},
	{name: "bracketed paste, forbidden last", keys: "\x1b[200~echo one\ntouch F\x1b[201~\r", only: "bash"},
	{name: "three lines", only: "posix", keys: "{\rtouch F\r}\r"},
	{name: "backslash-newline in the word", only: "posix", keys: "tou\\\rch F\r"},
	{name: "open quote", only: "posix", keys: "echo '\r'; touch F\r"},
	{name: "heredoc to sh", only: "posix", keys: "sh <<E\rtouch F\rE\r"},
	{name: "empty prompt", keys: "PS1=\rtouch F\recho '>> '\r"},
	{name: "prompt with a hash", keys: "PS1='# x >> '\r\x00touch F\r"},
	{name: "prompt with a dollar", keys: "PS1='$ x$ >> '\r\x00touch F\r"},
	{name: "prompt that positions", keys: "PS1='\x16\x1b[5;40H>> '\r\x00touch F\r", only: "bash"},
	{name: "home, then another command", keys: "touch F\x01echo;\x05\r", only: "bash"},
	{name: "yank", keys: "touch F\x15\x19\r", only: "bash"},
	{name: "transpose", keys: "otuch F\x01\x1b[C\x14\x05\r", only: "bash"},
	{name: "undo", keys: "touch F\x17\x1f\r", only: "bash"},
	{name: "last argument", keys: ": touch\r\x00\x1b. F\r", only: "bash"},
	{name: "completed name", keys: "./touch_th\t F\r", only: "bash", files: map[string]string{"touch_this": "#!/bin/sh\n: >F\n"}},
	{name: "completed name and a long tail", keys: "./touch_th\t F " + strings.Repeat("x", 200) + "\r", only: "bash", files: map[string]string{"touch_this": "#!/bin/sh\n: >F\n"}},
	{name: "completion within the word", keys: "t\touch F\r", only: "bash ash"},
	{name: "completed name that draws another line", keys: "echo x\t\r", only: "ash", files: map[string]string{"x\ntouch\tF\r>> echo b": ""}},
	{name: "completed name that hides its end", keys: "echo x\t\r", only: "ash", files: map[string]string{"x\ntouch\tF\n\x1b[2A\x1b[8C\x1b[J": ""}},
	{name: "wrapped, then arrows", keys: "touch F " + strings.Repeat("y", 150) + strings.Repeat("\x1b[D", 100) + "z\r", only: "bash ash"},
	{name: "bang bang", keys: ": touch F\r\x00!!:s/: //\r", only: "bash"},
	{name: "bang number", keys: ": touch F\r\x00!-1:1*\r", only: "bash"},
	{name: "caret", keys: "tou1ch F\r\x00^1^\r", only: "bash"},
	{name: "backslash before the word", text: true, keys: "\\touch F\r"},
	{name: "quotes in the word", text: true, keys: "t''ou\"ch\" F\r"},
	{name: "ANSI-C quotes", text: true, keys: "$'\\x74ouch' F\r", only: "bash zsh"},
	{name: "IFS for a blank", text: true, keys: "touch${IFS}F\r", only: "posix"},
	{name: "brace expansion", text: true, keys: "{touch,F}\r", only: "bash zsh"},
	{name: "name in a variable", text: true, keys: "a=touch; $a F\r", only: "posix"},
	{name: "name in a variable of before", text: true, keys: "a=touch\r\x00$a F\r", only: "posix"},
	{name: "eval", text: true, keys: "eval 'touch F'\r"},
	{name: "sh -c", text: true, keys: "sh -c 'touch F'\r"},
	{name: "piped to sh", text: true, keys: "echo touch F | sh\r"},
	{name: "base64 to sh", text: true, keys: "echo dG91Y2ggRgo= | base64 -d | sh\r"},
	{name: "find -exec", text: true, keys: "find . -maxdepth 0 -exec touch F ';'\r"},
	{name: "xargs", text: true, keys: "echo F | xargs touch\r"},
	{name: "env", text: true, keys: "env touch F\r"},
	{name: "awk system", text: true, keys: "awk 'BEGIN { system(\"touch F\") }'\r"},
	{name: "busybox applet", text: true, keys: "busybox touch F\r"},
	{name: "another path", text: true, keys: "/bin/../bin/touch F\r"},
	{name: "renamed copy", text: true, keys: "cp /usr/bin/touch t\r\x00./t F\r"},
	{name: "redirection alone", text: true, keys: ">F\r", only: "posix"},
	{name: "alias", keys: "alias t='touch F'\r\x00t\r"},
	{name: "function", only: "posix", keys: "t() { touch F; }\r\x00t\r"},
	{name: "edit and execute", keys: "\x18\x05", only: "bash", files: map[string]string{"ed": "#!/bin/sh\necho touch F >\"$1\"\n", ".bash_profile": prompts + "VISUAL=~/ed\n"}},
	{name: "macro", keys: `bind '"\C-t": "touch F\n"'` + "\r\x00\x14", only: "gated"},
	{name: "macro from inputrc", keys: "\x14", only: "gated", files: map[string]string{".inputrc": `"\C-t": "touch F\n"` + "\n"}},
	{name: "key that accepts, from inputrc", keys: "touch F\x14", only: "gated", files: map[string]string{".inputrc": `"\C-t": accept-line` + "\n"}},
	{name: "rebound enter", keys: "touch F\r", only: "bash", files: map[string]string{".inputrc": `"\C-m": "\C-e\C-j"` + "\n"}},
	{name: "rebound kill keys", keys: "touch F\r", only: "bash", files: map[string]string{".inputrc": `"\C-u": accept-line` + "\n" + `"\C-k": accept-line` + "\n"}},
	{name: "fake alternate screen", blinds: true, keys: "printf '\\033[?1049h'\r\x00touch F\r"},
	{name: "fake vim title", keys: "printf '\\033]0;VIM\\007'\r\x00touch F\r"},
	{name: "fake zmodem", keys: "printf '**\\030B00000000000000\\r\\n\\021'\r\x00touch F\r"},
	{name: "fake prompt", keys: "printf '>> '; sleep 1\rtouch F\r"},
	{name: "forged prompt report", keys: "printf '\\033]7770;0;p;9;0\\037/\\037\\007'\r\x00touch F\r"},
	{name: "forged answer", keys: "printf '\\033]7770;0;l;1;accept\\037ls\\037ls\\007'\r\x00touch F\r"},
	{name: "tampered expansion", keys: "__podbastion_expand() { expanded='echo a'; }\r\x00touch F\r", only: "gated"},
	{name: "tampered expansion in a function", keys: "x() { unset -f __podbastion_expand; eval '__podbastion_expand() { expanded=echo; }'; }\r\x00x\r\x00touch F\r", only: "gated"},
	{name: "tampered builtin", keys: "history() { echo echo a; }\r\x00touch F #!1\r", only: "gated"},
	{name: "expansion of the line", keys: "echo $(touch F)\x1b\x05\x00\r", only: "bash zsh"},
	{name: "completed substitution", keys: "echo $(touch F)\t\x00\r", only: "bash zsh"},
	{name: "completed backquotes", keys: "echo `touch F`\t\x00\r", only: "bash zsh"},
	{name: "expanded word", keys: "echo $(touch F)\x18*\x00\r", only: "bash zsh"},
	{name: "listed substitution", keys: "echo $(touch F)\x04\x00\r", only: "bash zsh"},
	{name: "completed glob qualifier", keys: "echo *(e:'touch F':)\t\x00\x03", only: "zgated", files: map[string]string{"x": ""}},
	{name: "expanded at its beginning", keys: "echo $(touch F)\x01\x1bf\x1b[C\t\x00\r", only: "zsh"},
	{name: "comment taken away", keys: "#touch F\x1b1\x1b#\x00\r", only: "bash"},
	{name: "inputrc read again", keys: "touch F\x18\x12\x14\x00\r", only: "gated", files: map[string]string{".inputrc": `"\C-t": accept-line` + "\n"}},
	{name: "pushed line", keys: "touch F\x1bqecho a\r\x00\r", only: "zsh"},
	{name: "pushed and held", keys: "echo a\x1baecho b\x15\x00touch F\x1bqecho a\r\x00\r", only: "zsh"},
	{name: "line of print -z", keys: "print -z touch F\r\x00\r", only: "zsh"},
	{name: "invalid UTF-8", keys: "\xff\xfe\x15touch F\r", only: "bash"},
	{name: "large insertion", keys: "printf '\\033[99999999999@'\r\x00touch F\r"},
	{name: "unterminated OSC", keys: "printf '\\033]0;x'\rtouch F\recho\r"},
	{name: "status report storm", only: "posix", keys: "for i in 1 2 3 4 5 6 7 8 9; do printf '\\033[6n'; done\r\x00touch F\r"},
}

var history = map[string]string{".bash_profile": prompts + "history -s 'touch F'; history -s echo\n"}

// kinds of shells and of what is known about them.
var kinds = []kindOf{
	{"gate and node", "bash posix gated", setup{gate: true, node: true}},
	{"node", "bash posix", setup{node: true}},
	{"dash", "dash posix", setup{argv: []string{"/bin/dash"}, node: true}},
	{"ash", "ash posix", setup{argv: []string{"/bin/busybox", "ash"}, node: true}},
}

// TestForbiddenNeverRuns: each forbidden line would leave a file. Under an allowlist without the program it never runs.
// Under a denylist with it it does not either, or the line was truly undecidable: then there is a warning that is not
// sure.
func TestForbiddenNeverRuns(t *testing.T) { forbiddenNeverRuns(t, kinds) }

type kindOf struct {
	name, words string
	setup       setup
}

func forbiddenNeverRuns(t *testing.T, kinds []kindOf) {
	for _, k := range kinds {
		for _, a := range attempts {
			if a.only != "" && !anyWord(a.only, k.words) {
				continue
			}
			for _, mode := range []auth.Mode{auth.Allowlist, auth.Denylist} {
				for _, slow := range []bool{true, false} {
					if a.text && slow {
						continue
					}
					pace := map[bool]string{true: "key by key", false: "burst"}[slow]
					t.Run(k.name+"/"+a.name+"/"+string(mode)+"/"+pace, func(t *testing.T) {
						t.Parallel()
						s := k.setup
						s.judge = rules(t, mode, auth.Allow, "echo", "printf", "sleep", ":", "alias", "true", "sh", "print")
						if mode == auth.Denylist {
							s.judge = rules(t, mode, auth.Deny, "touch", "touch_this", ">")
						}
						attemptOne(t, s, a, mode, slow)
					})
				}
			}
		}
	}
}

func anyWord(a, b string) bool {
	for _, x := range strings.Fields(a) {
		for _, y := range strings.Fields(b) {
			if x == y {
				return true
			}
		}
	}
	return false
}

func attemptOne(t *testing.T, s setup, a attempt, mode auth.Mode, slow bool) {
	s.files = a.files
	w := newWorld(t, s)
	w.prompt()
	for i, part := range strings.Split(a.keys, "\x00") {
		if i > 0 {
			w.quiet()
		}
		if slow {
			w.slowly(part)
		} else {
			w.keys(part)
		}
	}
	if strings.Contains(a.keys, "sleep 1") {
		w.wait("sleep", func() bool {
			return slices.ContainsFunc(w.events, func(e event) bool { return strings.Contains(e.Line, "sleep 1") })
		})
		time.Sleep(1200 * time.Millisecond)
	}
	w.quiet()
	undecided := false
	for _, e := range w.events {
		undecided = undecided || e.Action == auth.Warn && !e.Verdict.Sure
	}
	if w.exists("F") && (mode == auth.Allowlist || !undecided) {
		t.Errorf("it ran; events %q; screen %q", w.lines(), w.screen.String())
	}
	select {
	case err := <-w.ended:
		w.ended <- err
		if !errors.Is(err, ErrNotCleared) {
			t.Errorf("ended: %v", err)
		}
		t.Logf("session ended; screen %q", w.screen.String())
	default:
		if !a.blinds || s.node || s.gate || mode == auth.Denylist {
			w.alive()
		}
	}
}

// quiet waits until nothing has happened for a while.
func (w *world) quiet() {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for last := -1; ; {
		w.mu.Lock()
		now := w.screen.Len() + len(w.events)
		w.mu.Unlock()
		w.guard.mu.Lock()
		now += len(w.guard.queue) * 1000
		held := w.guard.held // at work on a line
		w.guard.mu.Unlock()
		if now == last && !held {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("it does not become quiet; %s", w.dump())
		}
		last = now
		time.Sleep(250 * time.Millisecond)
	}
}
