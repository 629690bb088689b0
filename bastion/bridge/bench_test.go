package bridge_test

import (
	"io"
	"runtime"
	"testing"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/internal/tty"
)

const bulk = 256 << 20

func BenchmarkOutput(b *testing.B) {
	a := agenttest.Start(b)
	br := newBridge(b, a)
	b.SetBytes(bulk)
	for b.Loop() {
		p := exec(b, br, start(a, "head", "-c", "268435456", "/dev/zero"))
		go func() { _, _ = io.Copy(io.Discard, p.Stderr()) }()
		if n, err := io.Copy(io.Discard, p.Stdout()); n != bulk || err != nil {
			b.Fatal(n, err)
		}
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInput(b *testing.B) {
	a := agenttest.Start(b)
	br := newBridge(b, a)
	b.SetBytes(bulk)
	chunk := make([]byte, 32<<10)
	for b.Loop() {
		p := exec(b, br, start(a, "sh", "-c", "cat >/dev/null"))
		go func() { _, _ = io.Copy(io.Discard, p.Stderr()) }()
		go func() { _, _ = io.Copy(io.Discard, p.Stdout()) }()
		for range bulk / len(chunk) {
			if _, err := p.Stdin().Write(chunk); err != nil {
				b.Fatal(err)
			}
		}
		_ = p.Stdin().Close()
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart is one execution of true, from the request to its exit.
func BenchmarkStart(b *testing.B) {
	a := agenttest.Start(b)
	br := newBridge(b, a)
	for b.Loop() {
		p := exec(b, br, start(a, "true"))
		go func() { _, _ = io.Copy(io.Discard, p.Stderr()) }()
		_, _ = io.Copy(io.Discard, p.Stdout())
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
		_ = p.Close()
	}
}

// BenchmarkIdle reports what one idle execution with a terminal costs, bridge and agent in this process together.
func BenchmarkIdle(b *testing.B) {
	a := agenttest.Start(b)
	br := newBridge(b, a)
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	var all []bridge.Process
	for b.Loop() {
		s := start(a, "cat")
		s.TTY, s.Size = true, tty.Size{Cols: 80, Rows: 24}
		all = append(all, exec(b, br, s))
	}
	b.ReportMetric(float64(memory()-before)/float64(len(all))/1024, "KiB/session")
}
