package guard

import (
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/tty"
)

// releases notes when what lets a line run is written to the target.
type releases struct {
	to   io.Writer
	mu   sync.Mutex
	last time.Time
	n    int
}

func (r *releases) Write(p []byte) (int, error) {
	if s := string(p); s == "\r" || strings.HasSuffix(s, ";run.") {
		r.mu.Lock()
		r.last, r.n = time.Now(), r.n+1
		r.mu.Unlock()
	}
	return r.to.Write(p)
}

// BenchmarkRelease is the time from Enter to the line's release, its echo having arrived, with a real bash.
func BenchmarkRelease(b *testing.B) {
	for _, c := range []struct {
		name  string
		setup setup
		per   int // writes that count for a line: with a gate the key, then the answer
	}{
		{"gate", setup{gate: true, node: true}, 2},
		{"screen and node", setup{node: true}, 1},
		{"screen", setup{}, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.setup.judge = rules(b, auth.Denylist, auth.Deny, "touch")
			w := newWorld(b, c.setup)
			w.prompt()
			r := &releases{to: w.guard.o.Target}
			w.guard.keys.Lock()
			w.guard.o.Target = r
			w.guard.keys.Unlock()
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				w.mu.Lock()
				w.screen.Reset()
				w.mu.Unlock()
				w.keys("echo on''e")
				w.shows("echo on''e")
				time.Sleep(50 * time.Millisecond) // a person's pause
				began := time.Now()
				w.keys("\r")
				w.shows("\none\n")
				r.mu.Lock()
				if r.n != (i+1)*c.per {
					b.Fatalf("%d releases after %d lines", r.n, i+1)
				}
				took = append(took, r.last.Sub(began))
				r.mu.Unlock()
				w.prompt()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMemory is what one idle guard holds, its screen full.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		const n = 200
		guards := make([]*Guard, 0, n)
		ctx, cancel := context.WithCancel(context.Background())
		var work sync.WaitGroup
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range n {
			g := New(Options{Size: tty.Size{Cols: 200, Rows: 50}, Target: io.Discard, Client: io.Discard, Shell: "sh"})
			work.Go(func() { _ = g.Run(ctx) })
			for range 400 {
				_ = g.FromTarget([]byte(strings.Repeat("drwxr-xr-x 2 root ", 10) + "\r\n"))
			}
			guards = append(guards, g)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/n/1024, "KiB/guard")
		b.ReportMetric(0, "ns/op")
		cancel()
		work.Wait()
		runtime.KeepAlive(guards)
	}
}

// BenchmarkOutput is the guard's own cost on output that a program prints.
func BenchmarkOutput(b *testing.B) {
	g := New(Options{Size: tty.Size{Cols: 80, Rows: 24}, Target: io.Discard, Client: io.Discard, Shell: "sh"})
	text := []byte(strings.Repeat("drwxr-xr-x 2 root root 4096 \x1b[01;34mbin\x1b[0m\r\n", 100))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_ = g.FromTarget(text)
	}
}
