package guard

import (
	"testing"

	"github.com/podbastion/podbastion/auth"
)

// Keys right behind one of the user's own that submits a line are of the next line: the gate reads them before the guard
// knows of the first one. None is lost, whatever becomes of that.
func TestKeysBehindAMacro(t *testing.T) {
	for _, k := range []kindOf{
		{"bash", `"\C-t": "touch F\n"` + "\n" + `"\C-y": "echo one\n"` + "\n", setup{gate: true, node: true}},
		{"zsh", zshPrompts + "bindkey -s '^T' 'touch F\\n'; bindkey -s '^Y' 'echo one\\n'\n", setup{argv: zshell[:1], gate: true, node: true}},
	} {
		for _, proven := range []bool{false, true} {
			for name, x := range map[string]struct{ key, event string }{"denied": {"\x14", "deny touch F"}, "permitted": {"\x19", "allow echo one"}} {
				t.Run(k.name+"/"+name+map[bool]string{true: ", gate was heard"}[proven], func(t *testing.T) {
					t.Parallel()
					s := k.setup
					s.judge = rules(t, auth.Denylist, auth.Deny, "touch")
					s.files = map[string]string{".inputrc": k.words, ".zshrc": k.words}
					w := newWorld(t, s)
					w.prompt()
					var want []string
					if proven {
						w.keys("echo before\r")
						want = append(want, "allow echo before")
						w.shows("\nbefore\n")
						w.quiet()
					}
					w.keys(x.key + "echo a.b '.'; echo two\recho three\r")
					w.shows("\na.b .\ntwo\n")
					w.shows("\nthree\n")
					w.quiet()
					w.commandsAre(append(want, x.event, "allow echo a.b '.'; echo two", "allow echo three")...)
				})
			}
		}
	}
}
