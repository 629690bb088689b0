package guard

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A reply is a key to fish, which may be lost as any key behind an interrupt. It is pressed again, and a line does not
// run twice.
func TestLostReply(t *testing.T) {
	for name, loses := range map[string]int{"once": 1, "twice": 2, "never": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := loses
			w := newWorld(t, setup{argv: []string{"/usr/bin/fish"}, gate: true, node: true, loses: func(keys []byte) bool {
				if left == 0 || !bytes.HasPrefix(keys, []byte("\x1b[7770;2;")) {
					return false
				}
				left--
				return true
			}})
			w.prompt()
			w.keys("echo x >>ran; sleep 2.5\r") // longer than a lost reply is waited for
			w.wait("line's end", func() bool { return len(w.finished) > 0 })
			w.prompt()
			w.alive()
			if got, err := os.ReadFile(filepath.Join(w.home, "ran")); string(got) != "x\n" {
				t.Errorf("it ran so often: %q, %v", got, err)
			}
		})
	}
}
