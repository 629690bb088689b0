//go:build real

package guard

import "testing"

// The same attempts in zsh and fish (Debian packages zsh and fish), with their gates and without.
func TestForbiddenNeverRunsInOtherShells(t *testing.T) {
	forbiddenNeverRuns(t, []kindOf{
		{"zsh, gate and node", "zsh posix zgated", setup{argv: []string{"/usr/bin/zsh"}, gate: true, node: true}},
		{"zsh, node", "zsh posix", setup{argv: []string{"/usr/bin/zsh", "-i"}, node: true}},
		{"fish, gate and node", "fish", setup{argv: []string{"/usr/bin/fish"}, gate: true, node: true}},
		{"fish, node", "fish", setup{argv: []string{"/usr/bin/fish", "-i"}, node: true}},
	})
}

// zsh and fish with their gates.
var gated = []kindOf{
	{"zsh", "zsh", setup{argv: []string{"/usr/bin/zsh"}, gate: true, node: true}},
	{"fish", "fish", setup{argv: []string{"/usr/bin/fish"}, gate: true, node: true}},
}

func TestResizeWhileTypingInOtherShells(t *testing.T) { resizeWhileTyping(t, gated) }

func TestProgramsLinesAreNoCommandsInOtherShells(t *testing.T) { programsLines(t, gated) }

func TestSecretsAreNotStoredInOtherShells(t *testing.T) {
	var cases []asking
	for _, k := range gated {
		length := map[string]string{"zsh": "echo ${#x}\r", "fish": "string length $x\r"}[k.name]
		for _, allow := range []string{"", "read echo string python3"} {
			mode := map[bool]string{true: " under an allowlist", false: ""}[allow != ""]
			cases = append(cases,
				asking{k.name + ": read -s" + mode, k.setup, []step{{"read -s x\r", "read"}, {secret + "\r", ">> "}, {length, "\n7\n"}}, allow},
				asking{k.name + ": program that asks" + mode, k.setup, asks, allow})
		}
	}
	secretsAreNotStored(t, cases)
}
