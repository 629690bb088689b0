package guard

import "testing"

// The same attempts with fewer witnesses: no node tells who reads the terminal.
func TestForbiddenNeverRunsUnseen(t *testing.T) {
	forbiddenNeverRuns(t, []kindOf{
		{"gate", "bash posix gated", setup{gate: true}},
		{"screen", "bash posix", setup{}},
		{"ash, screen", "ash posix", setup{argv: []string{"/bin/busybox", "ash"}}},
	})
}
