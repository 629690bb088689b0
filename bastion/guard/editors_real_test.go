//go:build real

package guard

import (
	"regexp"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/auth"
)

// shells are the four that people have, each with all that can be known of it.
var shells = []kindOf{
	{"bash", "", setup{gate: true, node: true}},
	{"zsh", "", setup{argv: []string{"/usr/bin/zsh"}, gate: true, node: true}},
	{"fish", "", setup{argv: []string{"/usr/bin/fish"}, gate: true, node: true}},
	{"ash", "", setup{argv: []string{"/bin/busybox", "ash"}, node: true}},
}

var wantsReturn = regexp.MustCompile(`(?i)(hit|press) (return|enter)`)

// What an editor or a pager is told to run is the role's word on the editor or pager, as docs/guard.md says: one that
// the role has gets its keys, which are no commands, and runs what it is told; one that it does not have is not started.
func TestWhatEditorsRun(t *testing.T) {
	const begin = "a line of the file"
	for _, p := range []struct{ name, run, end string }{
		{"vi", ":!touch F\r", ":q!\r"},
		{"less", "!touch F\r", "q"},
	} {
		for _, k := range shells {
			if p.name == "less" && k.name == "ash" {
				continue // busybox has a less of its own, which runs nothing
			}
			for _, permitted := range []bool{true, false} {
				for _, mode := range []auth.Mode{auth.Allowlist, auth.Denylist} {
					name := map[bool]string{true: "permitted", false: "not permitted"}[permitted]
					t.Run(strings.Join([]string{p.name, k.name, name, string(mode)}, "/"), func(t *testing.T) {
						t.Parallel()
						s := k.setup
						s.files = map[string]string{"f": strings.Repeat(begin+"\n", 60), ".vimrc": ""}
						programs := map[bool][]string{true: {"echo", p.name}, false: {"echo"}}[permitted == (mode == auth.Allowlist)]
						if mode == auth.Denylist {
							programs[0] = "touch"
						}
						s.judge = rules(t, mode, map[auth.Mode]auth.Action{auth.Allowlist: auth.Allow, auth.Denylist: auth.Deny}[mode], programs...)
						w := newWorld(t, s)
						w.prompt()
						w.keys(p.name + " f\r")
						if !permitted {
							w.shows("denied")
							w.quiet()
							w.alive()
							w.commandsAre("deny "+p.name+" f", "allow echo al''ive")
							if strings.Contains(w.shown(), begin) {
								t.Error("it was started")
							}
							return
						}
						w.shows(begin)
						w.quiet()
						w.keys("j")
						w.keys(p.run)
						w.wait("file: the role has "+p.name, func() bool { return w.exists("F") })
						w.wait("word that it is done", func() bool { return wantsReturn.MatchString(w.screen.String()) })
						w.quiet()
						w.keys("\r")
						w.quiet()
						w.keys(p.end)
						w.prompt()
						w.quiet()
						w.alive()
						w.commandsAre("allow "+p.name+" f", "allow echo al''ive")
					})
				}
			}
		}
	}
}
