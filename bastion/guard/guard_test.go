package guard

import (
	"testing"
)

func TestAllowedRunsDeniedDoesNot(t *testing.T) {
	for _, s := range []struct {
		name  string
		setup setup
	}{
		{"gate and node", setup{gate: true, node: true}},
		{"gate", setup{gate: true}},
		{"node", setup{node: true}},
		{"screen", setup{}},
		{"dash and node", setup{argv: []string{"/bin/dash"}, node: true}},
		{"dash", setup{argv: []string{"/bin/dash"}}},
		{"ash and node", setup{argv: []string{"/bin/busybox", "ash"}, node: true}},
		{"ash", setup{argv: []string{"/bin/busybox", "ash"}}},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, s.setup)
			w.prompt()
			w.keys("echo one\r")
			w.shows("\none\n")
			w.prompt()
			w.keys("touch F\r")
			w.shows("denied by rule no-touch: no touching")
			w.prompt()
			w.alive()
			if w.exists("F") {
				t.Error("the denied line ran")
			}
		})
	}
}
