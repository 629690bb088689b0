package guard

import (
	"context"
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
	// warned is of what is truly undecidable under a denylist: what the warned line holds, or unseen.
	warned string
}

var attempts = []attempt{
	{name: "enter", keys: "touch F\r"},
	{name: "newline", keys: "touch F\n"},
	{name: "operate and get next", keys: "touch F\x0f\r", only: "bash ash zsh fish"},
	{name: "recalled", keys: ": touch F\r\x00\x1b[A\x01\x1b[C\x1b[C\x7f\x7f\r", only: "bash ash zsh fish"},
	{name: "found", keys: "\x12touch\r", only: "bash", files: history},
	{name: "found and edited", keys: "\x12touch\x05x\x7f\r", only: "bash", files: history},
	{name: "found and cut", keys: ": touch F\r\x00\x12touch\x01\x1b[C\x1b[C\x7f\x7f\r", only: "bash zsh"},
	{name: "found in the pager", warned: unseen, keys: ": touch F\r\x00\x12touch\x00\r\x00\x01\x1b[C\x1b[C\x7f\x7f\r", only: "fish"},
	{name: "run mid-search", keys: "\x12tou\x0f", only: "bash", files: history},
	{name: "line and return in one packet", keys: "touch F\r\r"},
	{name: "type-ahead during sleep", keys: "sleep 1\rtouch F\recho\r"},
	{name: "plain paste, forbidden first", keys: "touch F\necho one\necho two\n"},
	{name: "plain paste, forbidden last", keys: "echo one\necho two\ntouch F\n"},
	{name: "bracketed paste, forbidden first", keys: "\x1b[200~touch F\necho one\n\x1b[201~\r", only: "bash zsh fish"},
	{name: "bracketed paste behind the forbidden word", keys: "touch F\x1b[200~\necho one\x1b[201~\r", only: "bash zsh fish"},
	{name: "bracketed paste, forbidden last", keys: "\x1b[200~echo one\ntouch F\x1b[201~\r", only: "bash zsh fish"},
	{name: "three lines", only: "posix", keys: "{\rtouch F\r}\r"},
	{name: "three lines of fish", only: "fish", keys: "begin\rtouch F\rend\r"},
	{name: "backslash-newline in the word", only: "posix fish", keys: "tou\\\rch F\r"},
	{name: "open quote", keys: "echo '\r'; touch F\r"},
	{name: "heredoc to sh", only: "posix", keys: "sh <<E\rtouch F\rE\r"},
	{name: "empty prompt", only: "posix", keys: "PS1=\rtouch F\recho '>> '\r"},
	{name: "prompt with a hash", only: "posix", keys: "PS1='# x >> '\r\x00touch F\r"},
	{name: "prompt with a dollar", only: "posix", keys: "PS1='$ x$ >> '\r\x00touch F\r"},
	{name: "empty prompt of fish", text: true, keys: "function fish_prompt; end\rtouch F\recho '>> '\r", only: "fish"},
	{name: "fish's prompt with a hash", text: true, keys: "function fish_prompt; echo -n '# x >> '; end\r\x00touch F\r", only: "fish"},
	{name: "fish's prompt with a dollar", text: true, keys: "function fish_prompt; echo -n '$ x$ >> '; end\r\x00touch F\r", only: "fish"},
	{name: "fish's prompt that positions", text: true, keys: "function fish_prompt; printf '\\033[5;40H>> '; end\r\x00touch F\r", only: "fish"},
	{name: "prompt that positions", keys: "PS1='\x16\x1b[5;40H>> '\r\x00touch F\r", only: "bash zsh"},
	{name: "home, then another command", keys: "touch F\x01echo;\x05\r", only: "bash ash zsh fish"},
	{name: "yank", keys: "touch F\x15\x19\r", only: "bash zsh fish"},
	{name: "transpose", keys: "otuch F\x01\x1b[C\x14\x05\r", only: "bash zsh fish"},
	{name: "undo", keys: "touch F\x17\x1f\r", only: "bash zsh fish"},
	{name: "last argument", keys: ": touch\r\x00\x1b. F\r", only: "bash zsh fish"},
	{name: "completed name", keys: "./touch_th\t F\r", only: "bash ash zsh fish", files: map[string]string{"touch_this": "#!/bin/sh\n: >F\n"}},
	{name: "completed name and a long tail", keys: "./touch_th\t F " + strings.Repeat("x", 200) + "\r", only: "bash ash zsh fish", files: map[string]string{"touch_this": "#!/bin/sh\n: >F\n"}},
	{name: "completion within the word", keys: "t\touch F\r", only: "bash ash"},
	{name: "wrapped, then arrows", keys: "touch F " + strings.Repeat("y", 150) + strings.Repeat("\x1b[D", 100) + "z\r", only: "bash ash zsh fish"},
	{name: "bang bang", warned: "!!:s", keys: ": touch F\r\x00!!:s/: //\r", only: "bash zsh"},
	{name: "bang number", warned: "!-1:1*", keys: ": touch F\r\x00!-1:1*\r", only: "bash zsh"},
	{name: "caret", warned: "^1^", keys: "tou1ch F\r\x00^1^\r", only: "bash zsh"},
	{name: "backslash before the word", text: true, keys: "\\touch F\r", only: "posix"},
	{name: "backslash in the word", text: true, keys: "t\\ouch F\r"},
	{name: "quotes in the word", text: true, keys: "t''ou\"ch\" F\r"},
	{name: "ANSI-C quotes", text: true, keys: "$'\\x74ouch' F\r", only: "bash zsh"},
	{name: "letter by its number", text: true, keys: "\\x74ouch F\r", only: "fish"},
	{name: "IFS for a blank", text: true, keys: "touch${IFS}F\r", only: "bash dash ash"},
	{name: "IFS that splits", warned: "${=IFS}", text: true, keys: "touch${=IFS}F\r", only: "zsh"},
	{name: "brace expansion", text: true, keys: "{touch,F}\r", only: "bash"},
	{name: "brace expansion after quotes", text: true, keys: "\"\"{touch,F}\r", only: "zsh"},
	{name: "name in a variable", text: true, keys: "a=touch; $a F\r", only: "posix"},
	{name: "name in a variable of before", warned: "$a F", text: true, keys: "a=touch\r\x00$a F\r", only: "posix"},
	{name: "name in fish's variable", text: true, keys: "set a touch; $a F\r", only: "fish"},
	{name: "eval", text: true, keys: "eval 'touch F'\r"},
	{name: "sh -c", text: true, keys: "sh -c 'touch F'\r"},
	{name: "piped to sh", text: true, keys: "echo touch F | sh\r"},
	{name: "base64 to sh", warned: "base64 -d", text: true, keys: "echo dG91Y2ggRgo= | base64 -d | sh\r"},
	{name: "find -exec", text: true, keys: "find . -maxdepth 0 -exec touch F ';'\r"},
	{name: "xargs", text: true, keys: "echo F | xargs touch\r"},
	{name: "env", text: true, keys: "env touch F\r"},
	{name: "awk system", text: true, keys: "awk 'BEGIN { system(\"touch F\") }'\r"},
	{name: "busybox applet", text: true, keys: "busybox touch F\r"},
	{name: "another path", text: true, keys: "/bin/../bin/touch F\r"},
	{name: "renamed copy", warned: "cp /usr/bin/touch t", text: true, keys: "cp /usr/bin/touch t\r\x00./t F\r"},
	{name: "redirection alone", text: true, keys: ">F\r", only: "posix"},
	{name: "alias", text: true, keys: "alias t='touch F'\r\x00t\r"},
	{name: "function", text: true, only: "posix", keys: "t() { touch F; }\r\x00t\r"},
	{name: "function of fish", text: true, only: "fish", keys: "function t; touch F; end\r\x00t\r"},
	{name: "edit and execute", warned: unseen, keys: "\x18\x05", only: "bash", files: map[string]string{"ed": "#!/bin/sh\necho touch F >\"$1\"\n", ".bash_profile": prompts + "VISUAL=~/ed\n"}},
	{name: "macro", keys: `bind '"\C-t": "touch F\n"'` + "\r\x00\x14", only: "gated"},
	{name: "macro from inputrc", keys: "\x14", only: "gated", files: map[string]string{".inputrc": `"\C-t": "touch F\n"` + "\n"}},
	{name: "key that accepts, from inputrc", keys: "touch F\x14", only: "gated", files: map[string]string{".inputrc": `"\C-t": accept-line` + "\n"}},
	{name: "macro of zsh", keys: "\x14", only: "zgated", files: map[string]string{".zshrc": zshPrompts + "bindkey -s '^T' 'touch F\\n'\n"}},
	{name: "key of zsh that accepts", keys: "touch F\x14", only: "zgated", files: map[string]string{".zshrc": zshPrompts + "bindkey '^T' accept-line\n"}},
	{name: "rebound enter", keys: "touch F\r", only: "bash", files: map[string]string{".inputrc": `"\C-m": "\C-e\C-j"` + "\n"}},
	{name: "rebound kill keys", keys: "touch F\r", only: "bash", files: map[string]string{".inputrc": `"\C-u": accept-line` + "\n" + `"\C-k": accept-line` + "\n"}},
	{name: "fake alternate screen", blinds: true, keys: "printf '\\033[?1049h'\r\x00touch F\r"},
	{name: "fake vim title", text: true, keys: "printf '\\033]0;VIM\\007'\r\x00touch F\r"},
	{name: "fake zmodem", text: true, keys: "printf '**\\030B00000000000000\\r\\n\\021'\r\x00touch F\r"},
	{name: "fake prompt", keys: "printf '>> '; sleep 1\rtouch F\r"},
	{name: "forged prompt report", text: true, keys: "printf '\\033]7770;0;p;9;0\\037/\\037\\007'\r\x00touch F\r"},
	{name: "forged answer", text: true, keys: "printf '\\033]7770;0;l;1;accept\\037ls\\037ls\\007'\r\x00touch F\r"},
	{name: "tampered expansion", keys: "__podbastion_expand() { expanded='echo a'; }\r\x00touch F\r", only: "gated"},
	{name: "tampered expansion in a function", keys: "x() { unset -f __podbastion_expand; eval '__podbastion_expand() { expanded=echo; }'; }\r\x00x\r\x00touch F\r", only: "gated"},
	{name: "tampered builtin", keys: "history() { echo echo a; }\r\x00touch F #!1\r", only: "gated"},
	{name: "expansion of the line", warned: unseen, keys: "echo $(touch F)\x1b\x05\x00\r", only: "bash zsh"},
	{name: "completed substitution", keys: "echo $(touch F)\t\x00\r", only: "bash zsh"},
	{name: "completed backquotes", keys: "echo `touch F`\t\x00\r", only: "bash zsh"},
	{name: "expanded word", keys: "echo $(touch F)\x18*\x00\r", only: "bash zsh"},
	{name: "listed substitution", keys: "echo $(touch F)\x04\x00\r", only: "bash zsh"},
	{name: "completed glob qualifier", warned: "*(e:", keys: "echo *(e:'touch F':)\t\x00\x03", only: "zsh", files: map[string]string{"x": ""}},
	{name: "expanded at its beginning", keys: "echo $(touch F)\x01\x1bf\x1b[C\t\x00\r", only: "zsh"},
	{name: "comment taken away", warned: unseen, keys: "#touch F\x1b1\x1b#\x00\r", only: "bash"},
	{name: "inputrc read again", keys: "touch F\x18\x12\x14\x00\r", only: "gated", files: map[string]string{".inputrc": `"\C-t": accept-line` + "\n"}},
	{name: "pushed line", warned: unseen, keys: "touch F\x1bqecho a\r\x00\r", only: "zsh"},
	{name: "pushed and held", warned: unseen, keys: "echo a\x1baecho b\x15\x00touch F\x1bqecho a\r\x00\r", only: "zsh"},
	{name: "pushed line and more", warned: "G", keys: "touch F\x1bqecho a\r\x00 G\r", only: "zsh"},
	{name: "line of print -z", warned: unseen, keys: "print -z touch F\r\x00\r", only: "zsh"},
	{name: "invalid UTF-8", keys: "\xff\xfe\x15touch F\r", only: "bash ash zsh fish"},
	{name: "large insertion", text: true, keys: "printf '\\033[99999999999@'\r\x00touch F\r"},
	{name: "unterminated OSC", keys: "printf '\\033]0;x'\rtouch F\recho\r"},
	{name: "status report storm in fish", text: true, only: "fish", keys: "for i in 1 2 3 4 5 6 7 8 9; printf '\\033[6n'; end\r\x00touch F\r"},
	{name: "nested bash", text: true, keys: "bash --norc\r\x00touch F\r"},
	{name: "nested dash", text: true, keys: "dash\r\x00touch F\r"},
	{name: "su", text: true, keys: "su -s /bin/dash\r\x00touch F\r"},
	{name: "after python", text: true, keys: "python3 -q\r\x00touch = 1\rexit()\r\x00touch F\r"},
	{name: "after sqlite", text: true, keys: "sqlite3\r\x00select 'touch F';\r.quit\r\x00touch F\r"},
	{name: "status report storm", text: true, only: "posix", keys: "for i in 1 2 3 4 5 6 7 8 9; do printf '\\033[6n'; done\r\x00touch F\r"},
}

const unseen = "unseen" // the warned line is nowhere to be seen, and is the very one that ran

var history = map[string]string{".bash_profile": prompts + "history -s 'touch F'; history -s echo\n"}

// kinds of shells and of what is known about them.
var kinds = []kindOf{
	{"gate and node", "bash posix gated", setup{gate: true, node: true}},
	{"node", "bash posix", setup{node: true}},
	{"dash", "dash posix", setup{argv: []string{"/bin/dash"}, node: true}},
	{"ash", "ash posix", setup{argv: []string{"/bin/busybox", "ash"}, node: true}},
}

// TestForbiddenNeverRuns: each forbidden line would leave a file, and does where everything may run. Under an allowlist
// without the program it never runs. Under a denylist with it it does not either, or the line is truly undecidable: then
// there is a warning of that line that is not sure.
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
			if k.setup.node && (!k.setup.gate || strings.HasSuffix(a.only, "gated")) { // once for a shell
				t.Run(k.name+"/"+a.name+"/permitted", func(t *testing.T) {
					t.Parallel()
					w := try(t, k.setup, a, false, func(Command) Verdict { return Verdict{Action: auth.Allow} })
					w.wait("file: the attempt is none", func() bool { return w.exists("F") })
				})
			}
			for _, mode := range []auth.Mode{auth.Allowlist, auth.Denylist} {
				for _, slow := range []bool{true, false} {
					if a.text && slow || !a.text && (k.setup.gate || !k.setup.node) && slow != (mode == auth.Allowlist) {
						continue // where a gate tells the line one pace a mode will do, and where no node does
					}
					pace := map[bool]string{true: "key by key", false: "burst"}[slow]
					t.Run(k.name+"/"+a.name+"/"+string(mode)+"/"+pace, func(t *testing.T) {
						t.Parallel()
						attemptOne(t, k.setup, a, mode, slow)
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

// forbids are the rules under which an attempt's program may not run.
func forbids(t *testing.T, mode auth.Mode) *Judge {
	if mode == auth.Denylist {
		return rules(t, mode, auth.Deny, "touch", "touch_this", ">")
	}
	return rules(t, mode, auth.Allow, "echo", "printf", "sleep", ":", "alias", "true", "sh", "print", "bash", "dash", "su", "python3", "sqlite3")
}

// try types an attempt's keys into a new world.
func try(t *testing.T, s setup, a attempt, slow bool, decide func(Command) Verdict) *world {
	s.files, s.decide = a.files, decide
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
	return w
}

func attemptOne(t *testing.T, s setup, a attempt, mode auth.Mode, slow bool) {
	s.judge = forbids(t, mode)
	w := try(t, s, a, slow, nil)
	if strings.Contains(a.keys, "sleep 1") {
		w.wait("line behind sleep", func() bool {
			i := slices.IndexFunc(w.events, func(e event) bool { return strings.Contains(e.Line, "sleep 1") })
			return i >= 0 && i+1 < len(w.events)
		})
	}
	w.quiet()
	if blind := !s.node && !s.gate; blind && a.blinds {
		a.warned = unseen
	} else if blind && a.warned == "" {
		a.warned = "touch F" // on a busy machine nobody can tell there what shows already
	}
	if w.exists("F") && (mode == auth.Allowlist || !w.warned(a.warned)) {
		t.Errorf("it ran; events %+v; screen %q", w.recorded(), w.shown())
	}
	if w.guard.closed() {
		err := <-w.ended
		w.ended <- err
		if !errors.Is(err, ErrNotCleared) {
			t.Errorf("ended: %v", err)
		}
		t.Logf("session ended; screen %q", w.shown())
	} else if !a.blinds || s.node || s.gate || mode == auth.Denylist {
		w.alive()
	}
}

// warned tells that the user was warned, with an event that is not sure, of the line that a text is of: no later than
// when the file came, and where the line is not to be seen by the event of the one that made it; where no node tells, the
// next line may be told before the file came.
func (w *world) warned(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	made := -1
	for i, e := range w.events {
		if !e.ran {
			made = i
		}
	}
	for i, e := range w.events[:made+1] {
		if e.Action == auth.Warn && !e.Verdict.Sure && (text == unseen && e.Unseen && (i == made || w.guard.o.Terminal == nil) || text != unseen && text != "" && strings.Contains(e.Line, text)) {
			return strings.Contains(w.screen.String(), "bastion: warning")
		}
	}
	return false
}

// quiet waits until nothing happens any more: the guard is not at work on a line, a shell that the node sees waits for
// keys, and nothing was shown or told for a while.
func (w *world) quiet() {
	w.t.Helper()
	deadline, last, since := time.Now().Add(time.Minute), -1, time.Now()
	for {
		w.mu.Lock()
		now := w.screen.Len() + len(w.events)
		w.mu.Unlock()
		w.guard.mu.Lock()
		queued := len(w.guard.queue)
		busy := w.guard.held || w.guard.working || !w.guard.hook.awaited.IsZero() || w.guard.hook.editing
		w.guard.mu.Unlock()
		now += queued * 1000
		still := now == last && !busy
		need := 250 * time.Millisecond
		if still && w.guard.o.Terminal != nil { // it is asked last, since that costs most
			if st, err := w.guard.o.Terminal.State(context.Background()); err == nil && st.Reading && st.Unread == 0 {
				need = 80 * time.Millisecond
				still = queued == 0 // the guard has yet to get to it
			} else if err == nil && (st.Own || st.Shell) {
				still = false
			}
		}
		if !still {
			last, since = now, time.Now()
		}
		if time.Since(since) > need || w.guard.closed() {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("it does not become quiet; %s", w.dump())
		}
		time.Sleep(40 * time.Millisecond)
	}
}
