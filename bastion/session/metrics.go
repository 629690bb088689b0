package session

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what sessions do.
type Metrics struct {
	live    *prometheus.GaugeVec
	started *prometheus.CounterVec
	ended   *prometheus.CounterVec
	refused *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	// commands that were judged
	commands *prometheus.CounterVec
	start    prometheus.Histogram
	login    prometheus.Histogram
	seconds  prometheus.Histogram
}

// NewMetrics makes and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		live: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "podbastion_sessions", Help: "Sessions and forwards that run now, by kind."}, []string{"kind"}),
		started: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_sessions_started_total", Help: "Sessions and forwards that were started, by kind."}, []string{"kind"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_sessions_ended_total", Help: "Sessions that ended, by why: exit, client, limit, policy, pod, drain, recording, audit, guard, lost."}, []string{"why"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_sessions_refused_total", Help: "Requests that started nothing, by why: target (address, access or pod), limit, start, forward."}, []string{"why"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_session_bytes_total", Help: "Bytes through sessions and forwards: in is from the client to the target."}, []string{"direction"}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podbastion_commands_total", Help: "Commands that were judged, by verdict and by who saw them."}, []string{"verdict", "witness"}),
		start: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "podbastion_session_start_seconds", Help: "From a client's request to the running process.",
			Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}}),
		login: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "podbastion_login_to_start_seconds", Help: "From an accepted login to the running process of its first session.",
			Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "podbastion_session_duration_seconds", Help: "How long sessions ran.",
			Buckets: []float64{.1, 1, 10, 60, 300, 1800, 3600, 4 * 3600, 12 * 3600}}),
	}
	reg.MustRegister(m.live, m.started, m.ended, m.refused, m.bytes, m.commands, m.start, m.login, m.seconds)
	return m
}
