package session

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/bastion/bridge"
)

const period = 251 // no part of a buffer

// counting is a process whose output counts on until it is closed.
type counting struct {
	bridge.Process
	mu     sync.Mutex
	next   byte
	closed bool
}

func (c *counting) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = c.next
		c.next = (c.next + 1) % period
	}
	return len(p), nil
}

func (c *counting) Stdout() io.Reader { return c }
func (c *counting) Stderr() io.Reader { return strings.NewReader("") }

func (c *counting) Wait() (bridge.Exit, error) { return bridge.Exit{}, nil }

func (c *counting) Close() error {
	time.Sleep(20 * time.Millisecond) // in which what is left of the output is read
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

// taking is a client that takes its time.
type taking struct {
	mu   sync.Mutex
	took bytes.Buffer
	some chan struct{}
}

func (c *taking) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.some <- struct{}{}:
	default:
	}
	return c.took.Write(p)
}

// What a client has of a transfer that is ended is its beginning, with nothing missing in between.
func TestEndedTransferIsABeginning(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	client := &taking{some: make(chan struct{}, 1)}
	r := &run{service: &Service{o: Options{Log: log, Metrics: NewMetrics(prometheus.NewRegistry())}}, client: Client{Stdout: client}}
	c := &copier{run: r, recorder: &recorder{run: r}, last: newClock(), events: func(io.Reader) error { return nil }}
	p := &counting{}
	done := c.output(p, make(chan error, 1))
	<-client.some
	why := errors.New("why")
	if err := c.stop(p, done, why); !errors.Is(err, why) {
		t.Fatal(err)
	}
	for i, b := range client.took.Bytes() {
		if b != byte(i%period) {
			t.Fatalf("byte %d of %d is %d", i, client.took.Len(), b)
		}
	}
}
