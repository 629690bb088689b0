package agent

import (
	"io"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is what the agent counts.
type Metrics struct {
	sessions prometheus.Gauge
	forwards prometheus.Gauge
	refused  prometheus.Counter
	bytes    *prometheus.CounterVec
	start    prometheus.Histogram
}

// NewMetrics makes the agent's metrics and registers them.
func NewMetrics(r prometheus.Registerer, ready func() error) *Metrics {
	m := &Metrics{
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{Name: "podbastion_agent_sessions", Help: "Executions that run now."}),
		forwards: prometheus.NewGauge(prometheus.GaugeOpts{Name: "podbastion_agent_forwards", Help: "Forwarded connections that are open now."}),
		refused:  prometheus.NewCounter(prometheus.CounterOpts{Name: "podbastion_agent_grants_refused_total", Help: "Requests whose grant was refused."}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_agent_bytes_total", Help: "Bytes of executions, file transfers and forwards, toward the container (in) and from it (out).",
		}, []string{"direction"}),
		start: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "podbastion_agent_start_seconds", Help: "From an execution's request to its running process.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 5, 30},
		}),
	}
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "podbastion_agent_runtime_up", Help: "1 while the container runtime can be reached."}, func() float64 {
		if ready() != nil {
			return 0
		}
		return 1
	})
	r.MustRegister(m.sessions, m.forwards, m.refused, m.bytes, m.start, up)
	return m
}

// flow counts what is written in a direction as it passes.
func (m *Metrics) flow(direction string, w io.Writer) io.Writer {
	c := m.bytes.WithLabelValues(direction)
	return counter{w, func(n int) { c.Add(float64(n)) }}
}
