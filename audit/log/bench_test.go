package log

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/podbastion/podbastion/audit"
)

// BenchmarkAppend reports durable events a second from many appenders; the budget is 20,000.
func BenchmarkAppend(b *testing.B) {
	l, err := Open(filepath.Join(b.TempDir(), "audit.jsonl"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	e := audit.Event{Type: audit.Command, Session: "0123456789abcdef", Account: "alice", Source: "10.0.0.7:50022",
		Target: &audit.Target{Cluster: "prod", Namespace: "shop", Pod: "web-5d8c7f-x2x9k", UID: "6f1c1b0e-7d0a-4c55-8f57-0d8a5b1b6a11", Container: "app", Node: "n1"},
		Line:   "grep -rn 'timeout' /etc/nginx | head -20", Verdict: "allow", Rule: "look", Witness: "gate", Confidence: "high"}
	b.SetParallelism(500)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Append(context.Background(), e); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
