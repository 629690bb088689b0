package guard

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
)

// A gate that expands what refers to no earlier line has been changed: the line itself is judged, and is not certain.
func TestTamperedGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{argv: []string{"/usr/bin/zsh"}, gate: true, node: true})
	w.prompt()
	w.keys("__podbastion_expanded() { expanded='echo a' }\r")
	w.quiet()
	w.keys("touch F\r")
	w.shows("no touching")
	w.quiet()
	w.keys("echo b\r")
	w.quiet()
	if w.exists("F") {
		t.Error("it ran")
	}
	if events := w.recorded(); len(events) == 0 {
		t.Error("nothing recorded")
	} else if e := events[len(events)-1]; e.Line != "echo b" || e.Command.Sure || !e.Unsure || e.Typed != "echo a" {
		t.Errorf("told %+v", e)
	}
}

// The functions that tell lines cannot be redefined where bash can forbid it.
func TestHookCannotBeRedefined(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{gate: true, node: true})
	w.prompt()
	w.keys("__podbastion_expand() { expanded='echo a'; }\r")
	w.shows("readonly function")
	w.quiet()
	w.keys("touch F\r")
	w.shows("no touching")
	w.quiet()
	if w.exists("F") {
		t.Error("it ran")
	}
	w.alive()
}

// $PWD is the user's to set: the directory is the node's, and without a node it is not known.
func TestDirectoryIsNotTheUsersWord(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup setup
	}{
		{"bash", setup{gate: true, node: true}}, {"bash, gate", setup{gate: true}},
		{"zsh", setup{argv: []string{"/usr/bin/zsh"}, gate: true, node: true}}, {"zsh, gate", setup{argv: []string{"/usr/bin/zsh"}, gate: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.setup.files = map[string]string{"no/x": "", "ok/x": ""}
			w := newWorld(t, c.setup)
			w.prompt()
			for _, line := range []string{"cd no", ": a", "PWD=$HOME/ok", ": b", "cd ~/ok; ln -s ../no link; cd link", ": c"} {
				w.keys(line + "\r")
				w.quiet()
			}
			real, _ := filepath.EvalSymlinks(w.home)
			at := map[string]string{}
			for _, e := range w.recorded() {
				at[e.Line] = strings.TrimPrefix(e.Directory, real)
			}
			want := map[string]string{": a": "/no", ": b": "/no", ": c": "/no"}
			if !c.setup.node {
				want[": b"], want[": c"] = "", ""
			}
			for line, dir := range want {
				if at[line] != dir {
					t.Errorf("%q in %q, want %q; all %q; %s", line, at[line], dir, at, w.dump())
				}
			}
		})
	}
}

// What a line that a silent gate let by may have run is told, and ends the session where nothing may run unseen.
func TestSilentGateThatRan(t *testing.T) {
	for _, mode := range []auth.Mode{auth.Allowlist, auth.Denylist} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			action := map[auth.Mode]auth.Action{auth.Allowlist: auth.Allow, auth.Denylist: auth.Deny}[mode]
			w := newWorld(t, setup{gate: true, node: true, judge: rules(t, mode, action, "echo"), files: map[string]string{".bash_profile": prompts + "PROMPT_COMMAND='bind \"\\C-m: accept-line\"'\n"}})
			if mode == auth.Denylist {
				w.guard.o.Decide = rules(t, mode, action, "touch").Decide
			}
			w.prompt()
			w.keys("echo x\r")
			w.wait("event of what ran", func() bool {
				n := len(w.events)
				return n > 0 && w.events[n-1].Line == "echo x" && (w.events[n-1].Action == auth.Deny) == (mode == auth.Allowlist) && !w.events[n-1].Verdict.Sure
			})
		})
	}
}

// What continues a line that is not certain is not certain either: here one that completion added to where no node says
// that nobody else writes.
func TestNothingIsCertainBehindAGuess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{files: map[string]string{"unmistakable": ""}, judge: rules(t, auth.Denylist, auth.Deny, "touch")})
	w.prompt()
	for _, keys := range []string{"cat <<E\r", "unmis\t", "\r", "E\r", "echo b\r"} {
		w.keys(keys)
		w.quiet()
	}
	events := w.recorded()
	if len(events) != 4 {
		t.Fatalf("told %+v", events)
	}
	for i, sure := range []bool{true, false, false, true} {
		if events[i].Command.Sure != sure || events[i].Verdict.Sure && !sure {
			t.Errorf("told %+v", events[i])
		}
	}
}
