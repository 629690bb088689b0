// Package ops serves what operators and orchestrators ask a daemon: /healthz, /readyz and /metrics. It listens apart
// from the daemon's own port, on loopback unless told otherwise, and has nothing to change anything with.
package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check names something that a daemon needs to do its work. Err is nil while it holds.
type Check struct {
	Name  string
	Err   error
	Minor bool // Err is said, but the daemon does its work all the same
}

// Config says what is served.
type Config struct {
	Listener net.Listener
	Metrics  prometheus.Gatherer
	// Ready lists the daemon's checks; /readyz is 200 when none but minor ones has an error, else 503 with the reasons.
	Ready func() []Check
}

// Serve answers until ctx ends.
func Serve(ctx context.Context, c Config) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		checks := c.Ready()
		for _, check := range checks {
			if check.Err != nil && !check.Minor {
				w.WriteHeader(http.StatusServiceUnavailable)
				break
			}
		}
		for _, check := range checks {
			if check.Err != nil {
				fmt.Fprintf(w, "%s: %q\n", check.Name, check.Err.Error())
			} else {
				fmt.Fprintf(w, "%s: ok\n", check.Name)
			}
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(c.Listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("ops: %w", err)
	}
	return ctx.Err()
}
