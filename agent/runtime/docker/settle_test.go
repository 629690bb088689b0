package docker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/client"
)

// An engine that takes its time to tell how an execution ended is not lost.
func TestSlowEngine(t *testing.T) {
	t.Parallel()
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(lost + 500*time.Millisecond)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ID":"x","Running":false,"ExitCode":7}`)
	}))
	defer engine.Close()
	api, err := client.NewClientWithOpts(client.WithHost("tcp://"+strings.TrimPrefix(engine.URL, "http://")), client.WithVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = api.Close() }()
	p := &process{api: &Runtime{api: api}, id: "x"}
	exit, err := p.settle(t.Context(), nil)
	if err != nil || exit.Code != 7 {
		t.Errorf("%+v, %v", exit, err)
	}
}
