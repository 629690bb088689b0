package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/tty"
)

// prompted is a shell with the prompts that it is tried with.
type prompted struct {
	name   string
	setup  setup
	file   string
	rcs    map[string]string
	wanted []string // lines that may run, each with nothing but echo and ls
}

var plainLines = []string{"ls", "echo grüße", "echo 日本語 ファイル", "echo 🎉 👨‍👩‍👧 done", "echo cafe\u0301 e\u0301\u0308", "echo " + strings.Repeat("long words ", 12), "ls -d /"}

var posixPrompts = map[string]string{
	"debian root": "PS1='${debian_chroot:+($debian_chroot)}root@pod:/# '",
	"bare":        "PS1='# '",
	"two lines":   "PS1='user@pod /somewhere\n$ '",
	"wide":        "PS1='日本語 🎉 ❯ '",
	"hash inside": "PS1='# not this # '",
}

func (p prompted) test(t *testing.T) {
	for name, rc := range p.rcs {
		for _, slow := range []bool{true, false} {
			pace := map[bool]string{true: "key by key", false: "burst"}[slow]
			t.Run(p.name+"/"+name+"/"+pace, func(t *testing.T) {
				t.Parallel()
				s := p.setup
				s.files = map[string]string{p.file: rc + "\n"}
				s.env = []string{"debian_chroot=", "LS_COLORS="}
				s.judge = rules(t, auth.Allowlist, auth.Allow, "echo", "ls")
				w := newWorld(t, s)
				w.wait("start", func() bool { return len(plain(w.screen.String())) > 1 })
				w.quiet()
				for i, l := range p.wanted {
					if slow {
						for _, r := range l + "\r" { // a keyboard sends a character whole
							w.keys(string(r))
							time.Sleep(3 * time.Millisecond)
						}
					} else {
						w.keys(l + "\r")
					}
					w.wait("event", func() bool { return len(w.events) > i })
					w.quiet()
				}
				var want []string
				for _, l := range p.wanted {
					want = append(want, "allow "+l)
				}
				if got := w.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Errorf("recorded %q, want %q; events %+v; screen %q", got, want, w.recorded(), w.shown())
				}
			})
		}
	}
}

// What may run runs, whatever the prompt looks like.
func TestAllowedAtEveryPrompt(t *testing.T) {
	bash := map[string]string{
		"colours": `PS1='\[\e[1;32m\]user@pod\[\e[0m\]:\[\e[34m\]\w\[\e[0m\]\$ '`,
		"right":   `PS1='\[\e7\e[70C[right]\e8\]\$ '`,
	}
	for name, rc := range posixPrompts {
		bash[name] = rc
	}
	for _, p := range []prompted{
		{"bash, gate and node", setup{gate: true, node: true}, ".bash_profile", bash, plainLines},
		{"bash, node", setup{node: true}, ".bash_profile", bash, plainLines},
		{"dash", setup{argv: []string{"/bin/dash"}, node: true}, ".profile", posixPrompts, plainLines},
		{"ash", setup{argv: []string{"/bin/busybox", "ash"}, node: true}, ".profile", posixPrompts, plainLines},
	} {
		p.test(t)
	}
}

func (w *world) resize(size tty.Size) {
	w.t.Helper()
	w.guard.Resize(size)
	if err := pty.Setsize(w.tty, &pty.Winsize{Rows: size.Rows, Cols: size.Cols}); err != nil {
		w.t.Fatal(err)
	}
}

// A terminal that changes its size in the middle of a line hides nothing and spoils nothing.
func TestResizeWhileTyping(t *testing.T) { resizeWhileTyping(t, kinds) }

func resizeWhileTyping(t *testing.T, kinds []kindOf) {
	for _, k := range kinds {
		for cols, mode := range map[uint16]auth.Mode{30: auth.Allowlist, 200: auth.Denylist, 31: auth.Denylist, 199: auth.Allowlist} {
			t.Run(fmt.Sprint(k.name, "/", mode, "/", cols), func(t *testing.T) {
				t.Parallel()
				s := k.setup
				s.judge = forbids(t, mode)
				w := newWorld(t, s)
				w.prompt()
				long := strings.Repeat(" word", 9)
				for _, line := range []string{"echo" + long, "touch F" + long, "echo" + long + " again"} {
					w.slowly(line[:20])
					w.quiet()
					w.resize(tty.Size{Cols: cols, Rows: 20})
					w.quiet()
					w.slowly(line[20:] + "\r")
					w.quiet()
					w.resize(tty.Size{Cols: 80, Rows: 24})
					w.quiet()
				}
				if w.exists("F") {
					t.Error("it ran")
				}
				if got, want := strings.Join(w.lines(), "\n"), "allow echo"+long+"\ndeny touch F"+long+"\nallow echo"+long+" again"; got != want {
					t.Errorf("recorded\n%s\nwant\n%s\nscreen %q", got, want, w.shown())
				}
			})
		}
	}
}
