//go:build real && live

package guard

import "testing"

// In zsh and fish with fewer witnesses.
func TestForbiddenNeverRunsUnseenInOtherShells(t *testing.T) {
	forbiddenNeverRuns(t, []kindOf{
		{"zsh, gate", "zsh posix zgated", setup{argv: []string{"/usr/bin/zsh"}, gate: true}},
		{"zsh, screen", "zsh posix", setup{argv: []string{"/usr/bin/zsh", "-i"}}},
		{"fish, gate", "fish", setup{argv: []string{"/usr/bin/fish"}, gate: true}},
		{"fish, screen", "fish", setup{argv: []string{"/usr/bin/fish", "-i"}}},
	})
}
