//go:build real

package e2e

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	idleSessions = 5000 // interactive, one connection each
	openingRate  = 300  // a second
)

// BenchmarkSessions has `bastion demo` hold as many idle sessions as the design asks for, opened as fast as it asks for,
// from log-in to prompt; then every one of them must still answer. Clients, bastion, agent and shells share this machine.
func BenchmarkSessions(b *testing.B) {
	dir := b.TempDir()
	w := &world{dir: dir, addr: freePort(b)}
	d, err := startDaemon(filepath.Join(dir, "log"), binary(b, "bastion"), "demo", "--dir", dir, "--ssh-addr", w.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer d.stop()
	var signer ssh.Signer
	eventually(b, 20*time.Second, func() error {
		if signer, err = readKey(filepath.Join(dir, "demo_ed25519")); err != nil {
			return err
		}
		c, err := w.dial(b, signer, "demo", 0)
		if err != nil {
			return err
		}
		return c.Close()
	})
	for b.Loop() {
		w.fill(b, d, signer)
	}
}

func (w *world) fill(b *testing.B, d *daemon, signer ssh.Signer) {
	b.Helper()
	before, used := resident(b, d.Process.Pid), busy(b, d.Process.Pid)
	open := make([]*idle, idleSessions)
	took := make([]time.Duration, idleSessions)
	var all sync.WaitGroup
	begin := time.Now()
	room := make(chan struct{}, 150) // fewer than may be unauthenticated at once
	for i := range open {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / openingRate)))
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			began := time.Now()
			s, err := w.idle(b, signer, i)
			if err != nil {
				b.Errorf("session %d: %v", i, err)
				return
			}
			open[i], took[i] = s, time.Since(began)
		})
	}
	all.Wait()
	lasted := time.Since(begin)
	used = busy(b, d.Process.Pid) - used
	lost := 0
	for i, s := range open {
		if s == nil {
			lost++
			continue
		}
		if _, err := fmt.Fprintf(s.in, "echo still-$((%d))\r", i); err != nil {
			b.Errorf("session %d: %v", i, err)
			lost++
			continue
		}
		if err := s.until(fmt.Sprintf("still-%d\r\n", i)); err != nil {
			b.Errorf("session %d: %v", i, err)
			lost++
		}
	}
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(float64(idleSessions)/lasted.Seconds(), "sessions/s")
	b.ReportMetric(ms(quantile(took, 0.5)), "open-p50-ms")
	b.ReportMetric(ms(quantile(took, 0.99)), "open-p99-ms")
	b.ReportMetric(ms(used)/idleSessions, "cpu-ms/session")
	b.ReportMetric(float64(resident(b, d.Process.Pid)-before)/idleSessions, "KiB/session")
	for _, s := range open {
		if s != nil {
			_ = s.client.Close()
		}
	}
}

// idle is an interactive session at its prompt.
type idle struct {
	client *ssh.Client
	in     interface{ Write([]byte) (int, error) }
	out    interface{ Read([]byte) (int, error) }
}

func (w *world) idle(b *testing.B, signer ssh.Signer, n int) (*idle, error) {
	c, err := w.dial(b, signer, "demo+web", n)
	if err != nil {
		return nil, err
	}
	x := &idle{client: c}
	s, err := c.NewSession()
	if err == nil {
		x.out, err = s.StdoutPipe()
	}
	if err == nil {
		x.in, err = s.StdinPipe()
	}
	if err == nil {
		err = s.RequestPty("xterm", 24, 80, nil)
	}
	if err == nil {
		err = s.Shell()
	}
	if err == nil {
		err = x.until("$ ", "# ")
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return x, nil
}

// until reads until one of some texts has come.
func (x *idle) until(texts ...string) error {
	defer time.AfterFunc(time.Minute, func() { _ = x.client.Close() }).Stop()
	var seen []byte
	buf := make([]byte, 4096)
	for {
		n, err := x.out.Read(buf)
		seen = append(seen, buf[:n]...)
		for _, t := range texts {
			if bytes.Contains(seen, []byte(t)) {
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("%w after %q", err, seen)
		}
	}
}
