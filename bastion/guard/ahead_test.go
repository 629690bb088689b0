package guard

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
)

var everyShell = []kindOf{
	{"bash, gate", "", setup{gate: true}},
	{"bash", "", setup{}},
	{"zsh, gate", "", setup{argv: zshell[:1], gate: true}},
	{"zsh", "", setup{argv: zshell}},
	{"fish, gate", "", setup{argv: fishes[:1], gate: true}},
	{"fish", "", setup{argv: fishes}},
	{"ash", "", setup{argv: []string{"/bin/busybox", "ash"}}},
	{"dash", "", setup{argv: []string{"/bin/dash"}}},
	{"mksh", "", setup{argv: []string{"/bin/mksh"}}},
}

// What is typed while a program runs that reads nothing shows at once, and is known at the next prompt.
func TestTypedAheadShowsAndIsKnown(t *testing.T) {
	long := "echo " + strings.Repeat("long words ", 9) + "end"
	for _, k := range everyShell {
		for _, slow := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/slow %v", k.name, slow), func(t *testing.T) {
				t.Parallel()
				dir, err := os.MkdirTemp("", "h") // a short path
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.RemoveAll(dir) })
				hold, done := filepath.Join(dir, "hold"), filepath.Join(dir, "done")
				if err := os.WriteFile(hold, []byte("#!/bin/sh\nwhile [ ! -e "+done+" ]; do sleep 0.02; done\nrm "+done+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
				s := k.setup
				s.node, s.judge = true, rules(t, auth.Allowlist, auth.Allow, "echo", "/**/hold", "cd", "printf")
				w := newWorld(t, s)
				w.prompt()
				w.quiet()
				var want []string
				for i, act := range []struct{ first, ahead string }{
					{hold, "echo one"}, {hold + "; cd /tmp", "echo two"}, {hold + "; printf 'no end'", "echo three"}, {"printf 'some '; " + hold, "echo four"}, {hold + "; printf 'a\\nb\\n'", long},
				} {
					if act.ahead == long && k.name == "mksh" {
						continue // what it shows of a line that is longer than its row is not certain at any prompt
					}
					w.keys(act.first + "\r")
					w.wait("event", func() bool { return len(w.events) == len(want)+1 })
					time.Sleep(2 * quickTime) // what is typed is not a burst
					if slow {
						w.slowly(act.ahead)
					} else {
						w.keys(act.ahead)
					}
					w.shows(act.ahead[:min(len(act.ahead), 40)])
					if err := os.WriteFile(done, nil, 0o644); err != nil {
						t.Fatal(err)
					}
					want = append(want, "allow "+act.first, "allow "+act.ahead)
					if keys := "\r"; slow {
						w.keys(keys)
					} else {
						w.keys(keys + fmt.Sprintf("echo then %d\r", i))
						want = append(want, fmt.Sprintf("allow echo then %d", i))
					}
					w.wait("event", func() bool { return len(w.events) == len(want) })
					w.quiet()
				}
				w.commandsAre(want...)
				for _, e := range w.recorded() {
					if !e.Command.Sure && !k.setup.gate { // where a gate tells the line, what else is seen on a busy machine may differ
						t.Errorf("not sure of %q", e.Line)
					}
				}
			})
		}
	}
}

// A program that has taken some of what was typed ahead makes another line of the rest, whatever it prints.
func TestTakenFromWhatWasTypedAhead(t *testing.T) {
	eater := "import sys,termios,tty,time\nold=termios.tcgetattr(0)\ntty.setcbreak(0)\nprint('ready')\ntime.sleep(0.6)\nsys.stdin.buffer.raw.read(8)\n" +
		"termios.tcsetattr(0,termios.TCSANOW,old)\nsys.stdout.write('\\n>> echo ')\n"
	for _, k := range everyShell {
		if k.setup.gate {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.setup.node, k.setup.judge = true, rules(t, auth.Allowlist, auth.Allow, "echo", "python3", ">")
			k.setup.files = map[string]string{"eat.py": eater}
			w := newWorld(t, k.setup)
			w.prompt()
			w.quiet()
			w.keys("python3 eat.py\r")
			w.wait("event", func() bool { return len(w.events) == 1 })
			w.shows("\nready\n")
			time.Sleep(2 * quickTime) // what is typed is not a burst
			w.keys("echo >> touch F\r")
			w.wait("event", func() bool { return len(w.events) == 2 })
			w.quiet()
			if w.exists("F") {
				t.Errorf("it ran: %q, %v", w.shown(), w.lines())
			}
		})
	}
}
