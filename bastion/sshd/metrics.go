package sshd

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts connections and logins.
type Metrics struct {
	connections prometheus.Gauge
	turnedAway  *prometheus.CounterVec
	logins      *prometheus.CounterVec
}

// NewMetrics makes and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "podbastion_connections", Help: "SSH connections that are open now."}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_connections_turned_away_total", Help: "Connections closed at once, by limit: connections, source, unauthenticated."}, []string{"limit"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_logins_total", Help: "Login attempts by result (accept, reject) and method."}, []string{"result", "method"}),
	}
	reg.MustRegister(m.connections, m.turnedAway, m.logins)
	return m
}
