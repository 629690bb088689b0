//go:build real && live

package guard

import "testing"

// The same attempts in zsh and fish (Debian packages zsh and fish), with their gates and without, and in the others
// with fewer witnesses.
func TestForbiddenNeverRunsInOtherShells(t *testing.T) {
	forbiddenNeverRuns(t, []kindOf{
		{"gate", "bash posix gated", setup{gate: true}},
		{"screen", "bash posix", setup{}},
		{"ash, screen", "ash posix", setup{argv: []string{"/bin/busybox", "ash"}}},
		{"zsh, gate and node", "zsh posix", setup{argv: []string{"/usr/bin/zsh"}, gate: true, node: true}},
		{"zsh, node", "zsh posix", setup{argv: []string{"/usr/bin/zsh", "-i"}, node: true}},
		{"fish, gate and node", "fish", setup{argv: []string{"/usr/bin/fish"}, gate: true, node: true}},
		{"fish, node", "fish", setup{argv: []string{"/usr/bin/fish", "-i"}, node: true}},
	})
}
