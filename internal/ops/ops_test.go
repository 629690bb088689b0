package ops_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/internal/ops"
)

func TestEndpoints(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sessions"})
	gauge.Set(3)
	reg.MustRegister(gauge)
	var broken, small error
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- ops.Serve(ctx, ops.Config{Listener: l, Metrics: reg, Ready: func() []ops.Check {
			return []ops.Check{{Name: "log"}, {Name: "cluster a", Err: broken}, {Name: "cluster b", Err: small, Minor: true}}
		}})
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		resp, err := client.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, body := get("/readyz"); code != 200 || body != "log: ok\ncluster a: ok\ncluster b: ok\n" {
		t.Errorf("/readyz: %d %q", code, body)
	}
	small = errors.New("out of date")
	if code, body := get("/readyz"); code != 200 || !strings.Contains(body, `cluster b: "out of date"`) {
		t.Errorf("/readyz with a minor trouble: %d %q", code, body)
	}
	broken = errors.New("no contact\x1b[2J")
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, `cluster a: "no contact\x1b[2J"`) {
		t.Errorf("/readyz broken: %d %q", code, body)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "sessions 3") {
		t.Errorf("/metrics: %d %q", code, body)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve ended with %v", err)
	}
}
