package agent

import "github.com/prometheus/client_golang/prometheus"

// Metrics is what the agent counts.
type Metrics struct {
	sessions prometheus.Gauge
	forwards prometheus.Gauge
	refused  prometheus.Counter
	bytes    *prometheus.CounterVec
}

// NewMetrics makes the agent's metrics and registers them.
func NewMetrics(r prometheus.Registerer, ready func() error) *Metrics {
	m := &Metrics{
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{Name: "podbastion_agent_sessions", Help: "Executions that run now."}),
		forwards: prometheus.NewGauge(prometheus.GaugeOpts{Name: "podbastion_agent_forwards", Help: "Forwarded connections that are open now."}),
		refused:  prometheus.NewCounter(prometheus.CounterOpts{Name: "podbastion_agent_grants_refused_total", Help: "Requests whose grant was refused."}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_agent_bytes_total", Help: "Bytes of executions, toward the container (in) and from it (out), counted when a stream ends.",
		}, []string{"direction"}),
	}
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "podbastion_agent_runtime_up", Help: "1 while the container runtime can be reached."}, func() float64 {
		if ready() != nil {
			return 0
		}
		return 1
	})
	r.MustRegister(m.sessions, m.forwards, m.refused, m.bytes, up)
	return m
}
