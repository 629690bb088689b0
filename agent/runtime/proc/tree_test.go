package proc

import (
	"os/exec"
	"sync"
	"testing"
	"testing/synctest"
)

// Those that come while a census is taken share the next one: many sessions that end at once would read all of /proc
// each, and the node's memory would not do.
func TestCensusIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := Ender{busy: true} // one is being taken
		got := make([]*census, 1000)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() { got[i], _ = e.after(t.Context()) })
		}
		synctest.Wait() // they all wait
		e.take()
		all.Wait()
		for _, c := range got {
			if c == nil || c != got[0] {
				t.Fatal("there is more than one")
			}
		}
	})
}

// A census that was begun before is none: what was started since may be missing.
func TestCensusIsNew(t *testing.T) {
	var e Ender
	for range 3 {
		cmd := exec.Command("sleep", "100")
		cmd.Env = []string{Marker + "=" + t.Name()}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c, err := e.after(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(c.tree(t.Name(), ID{})) != 1 {
			t.Error("it is not in it")
		}
		if err := e.EndTree(t.Context(), t.Name(), ID{}, 0); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
	}
}
