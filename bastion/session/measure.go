package session

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/target"
)

// measured is a bridge whose requests are counted.
type measured struct {
	to      Bridge
	seconds *prometheus.HistogramVec
	up      *prometheus.GaugeVec
}

// Measure counts and times what is asked of agents, and tells of each node's agent whether it answered last time.
func Measure(b Bridge, reg prometheus.Registerer) Bridge {
	m := &measured{to: b,
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "podbastion_agent_request_seconds", Help: "How long agents took to answer, by what was asked and whether it worked.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5, 30}}, []string{"request", "result"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "podbastion_agent_up", Help: "1 when the node's agent answered the last request, 0 when it did not."}, []string{"cluster", "node"}),
	}
	reg.MustRegister(m.seconds, m.up)
	return m
}

func (m *measured) note(request string, t target.Target, began time.Time, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.seconds.WithLabelValues(request, result).Observe(time.Since(began).Seconds())
	up := 1.0
	if errors.Is(err, bridge.ErrUnreachable) {
		up = 0
	}
	m.up.WithLabelValues(string(t.Cluster), string(t.Node)).Set(up)
}

func (m *measured) Facts(ctx context.Context, session, account string, t target.Target, user string) (bridge.Facts, error) {
	began := time.Now()
	f, err := m.to.Facts(ctx, session, account, t, user)
	m.note("facts", t, began, err)
	return f, err
}

func (m *measured) Exec(ctx context.Context, s bridge.Start) (bridge.Process, error) {
	began := time.Now()
	p, err := m.to.Exec(ctx, s)
	m.note("exec", s.Target, began, err)
	return p, err
}

func (m *measured) Forward(ctx context.Context, session, account string, t target.Target, port uint16) (io.ReadWriteCloser, error) {
	began := time.Now()
	c, err := m.to.Forward(ctx, session, account, t, port)
	m.note("forward", t, began, err)
	return c, err
}
