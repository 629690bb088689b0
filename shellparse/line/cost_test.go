package line

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/podbastion/podbastion/internal/tty"
)

// TestMemory holds the budget for a session: 256 KiB for a terminal of 200 by 50 in which everything was written full,
// the alternate screen too.
func TestMemory(t *testing.T) {
	const sessions = 50
	const budget = 256 << 10
	grown := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := grown()
	all := make([]*Tracker, sessions)
	for i := range all {
		tr := New(tty.Size{Cols: 200, Rows: 50}, Options{})
		for range 200 {
			tr.Output([]byte(strings.Repeat("x", 199) + "\r\n"))
		}
		for n := range 50 {
			tr.Output([]byte(on + "$ "))
			tr.Keys(fmt.Appendf(nil, "command number %d\r", n))
			tr.Output(fmt.Appendf(nil, "command number %d\r\n%s", n, off))
			_ = tr.Take()
		}
		tr.Output([]byte("\x1b[?1049h" + strings.Repeat("y", 200*50)))
		all[i] = tr
	}
	each := (grown() - before) / sessions
	runtime.KeepAlive(all)
	t.Logf("%d KiB a session", each>>10)
	if each > budget {
		t.Errorf("%d bytes a session, more than %d", each, budget)
	}
}

// A shell that echoes what is typed, as the tracker sees it all day.
func BenchmarkTyping(b *testing.B) {
	tr := New(tty.Size{Cols: 80, Rows: 24}, Options{})
	for b.Loop() {
		tr.Output([]byte(on + "root@web01:~# "))
		for _, c := range []byte("kubectl get pods -n shop") {
			tr.Keys([]byte{c})
			tr.Output([]byte{c})
		}
		_ = tr.Pending()
		tr.Keys([]byte("\r"))
		tr.Output([]byte("\r\n" + off + "\rNAME READY\r\n"))
		if len(tr.Take()) != 1 {
			b.Fatal("no line")
		}
	}
}

// A line as long as a tracker keeps, typed into an echo that does not fit: the dearest question that can be asked.
func BenchmarkLongLine(b *testing.B) {
	keys := []byte(strings.Repeat("word x\x1b[D", maxQueue/9))
	for b.Loop() {
		tr := New(tty.Size{Cols: 80, Rows: 24}, Options{})
		tr.Output([]byte(on + "$ "))
		tr.Keys(keys)
		tr.Output([]byte(strings.Repeat("b", 50000)))
		_ = tr.Pending()
	}
}
