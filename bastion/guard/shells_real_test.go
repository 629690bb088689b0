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
