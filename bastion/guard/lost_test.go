package guard

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/internal/tty"
)

// What the gate is told is a key to fish, which may be lost as any key behind an interrupt. It is pressed again, and a
// line does not run twice.
func TestLostKeys(t *testing.T) {
	for name, lost := range map[string]struct {
		key   string
		times int
	}{"never": {}, "go once": {"\x1b[7770;1~", 1}, "go twice": {"\x1b[7770;1~", 2}, "reply once": {"\x1b[7770;2;", 1}, "reply twice": {"\x1b[7770;2;", 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{argv: []string{"/usr/bin/fish"}, gate: true, node: true, loses: func(keys []byte) bool {
				if lost.times == 0 || !bytes.HasPrefix(keys, []byte(lost.key)) {
					return false
				}
				lost.times--
				return true
			}})
			w.prompt()
			w.keys("echo x >>ran; sleep 2.5\r") // longer than a lost key is waited for
			w.wait("line's end", func() bool { return len(w.finished) > 0 })
			w.prompt()
			w.alive()
			if got, err := os.ReadFile(filepath.Join(w.home, "ran")); string(got) != "x\n" {
				t.Errorf("it ran so often: %q, %v", got, err)
			}
			if e := w.recorded()[0]; !e.Command.Sure || e.Witness != Gate {
				t.Errorf("the line is %+v", e)
			}
		})
	}
}

// An interrupt that stood behind the submit key takes the line away before fish is asked for it: nobody waits for its word.
func TestInterruptBeforeTheLineIsAskedFor(t *testing.T) {
	hook, _ := gate.New("/usr/bin/fish")
	var told bytes.Buffer
	g := New(Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: &told, Client: io.Discard, Gate: hook, Shell: "fish"})
	if err := g.FromClient([]byte("\x03")); err != nil {
		t.Fatal(err)
	}
	if err := g.FromClient([]byte("more\x03")); err != nil {
		t.Fatal(err)
	}
	g.hook.state, g.hook.awaited, g.hook.released = atPrompt, time.Now(), true
	if err := g.report(t.Context(), gate.Report{Kind: gate.Ready}); err != nil {
		t.Fatal(err)
	}
	if !g.hook.awaited.IsZero() || told.Len() > 0 || string(g.queue) != "\x03" {
		t.Errorf("it waits since %v, the shell was sent %q, %q is left", g.hook.awaited, told.String(), g.queue)
	}
}
