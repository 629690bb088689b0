package screen

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/podbastion/podbastion/internal/tty"
)

// Lines of a log, as `cat` of a long file sends them.
func BenchmarkScroll(b *testing.B) {
	var text bytes.Buffer
	for i := 0; text.Len() < 1<<20; i++ {
		fmt.Fprintf(&text, "2024-01-%02d 10:00:00 info request %d served in 12 ms by worker 7\r\n", i%28+1, i)
	}
	s := New(tty.Size{Cols: 200, Rows: 50}, Options{})
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		_, _ = s.Write(text.Bytes())
	}
}

// Colours, cursor moves and erasing, as a full-screen program sends them.
func BenchmarkPaint(b *testing.B) {
	var text bytes.Buffer
	for i := 0; text.Len() < 1<<20; i++ {
		fmt.Fprintf(&text, "\x1b[%d;1H\x1b[38;5;%dm%6d\x1b[0m root  20   0 \x1b[1m%5d\x1b[m S  0.%d /usr/bin/worker\x1b[K", i%50+1, i%256, i, i*7, i%10)
	}
	s := New(tty.Size{Cols: 200, Rows: 50}, Options{})
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		_, _ = s.Write(text.Bytes())
	}
}
