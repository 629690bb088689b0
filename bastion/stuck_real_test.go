//go:build real

package bastion_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// service is a port in the pod: a connection is told with its first byte what to do.
func service(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	end := make(chan struct{})
	t.Cleanup(func() { close(end); _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				what := make([]byte, 1)
				if _, err := io.ReadFull(c, what); err != nil {
					return
				}
				switch what[0] {
				case 'd': // deaf
					<-end
				case 't': // talkative
					block := make([]byte, 64<<10)
					for err == nil {
						_, err = c.Write(block)
					}
				default:
					_, _ = io.Copy(c, c)
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func dial(t *testing.T, address, first string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, first)
	must(t, err)
	return c
}

// Forwards whose one end reads nothing hold a bounded amount, and the others on the connection go on.
func TestStuckForwards(t *testing.T) {
	w := start(t)
	local := freeAddress(t)
	cmd := w.ssh("alice+web-1", "-N", "-L", local+":"+strings.Replace(service(t), "127.0.0.1", "localhost", 1))
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", local); err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the client does not forward")
		}
	}
	const stuck = 12 // of each kind
	before := heap()
	for range stuck {
		dial(t, local, "t") // and nobody reads what it says
		deaf := dial(t, local, "d")
		go func() { // until all that is on the way is full
			_, _ = io.Copy(deaf, zeros{})
		}()
	}
	// Memory stops growing, and is within the window of the SSH library (2 MiB) and what the agent queues (1.6 MiB) a forward.
	last, calm := int64(0), 0
	for deadline := time.Now().Add(60 * time.Second); calm < 4; time.Sleep(250 * time.Millisecond) {
		now := heap()
		if calm++; now > last+256<<10 || now < last-256<<10 {
			calm = 0
		}
		if last = now; time.Now().After(deadline) {
			t.Fatalf("memory does not settle: %d KiB more", (now-before)>>10)
		}
	}
	each := (last - before) / (2 * stuck)
	t.Logf("%d KiB for each of %d stuck forwards, bastion and agent together", each>>10, 2*stuck)
	if each > 4<<20 {
		t.Errorf("each holds %d KiB", each>>10)
	}
	began, question := time.Now(), bytes.Repeat([]byte("question"), 1<<20)
	echo := dial(t, local, "e")
	go func() {
		_, _ = echo.Write(question)
		_ = echo.(*net.TCPConn).CloseWrite()
	}()
	_ = echo.SetReadDeadline(time.Now().Add(60 * time.Second))
	answer, err := io.ReadAll(echo)
	if err != nil || !bytes.Equal(answer, question) {
		t.Errorf("a forward beside them: %d of %d bytes, %v", len(answer), len(question), err)
	}
	t.Logf("8 MiB there and back beside them took %s", time.Since(began))
	if out, errOut, exit := clientRun(t, w.ssh("alice+web-1", "--", "echo in")); out != "in\n" {
		t.Errorf("a session beside them: %q %q %d", out, errOut, exit)
	}
	// Their end gives everything back.
	must(t, cmd.Process.Kill())
	for deadline := time.Now().Add(20 * time.Second); heap() > before+8<<20; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d KiB are held after the end", (heap()-before)>>10)
		}
	}
	if code, text := w.get(t, "/metrics"); code != 200 || !strings.Contains(text, fmt.Sprintf("podbastion_sessions{kind=%q} 0", "forward")) {
		t.Errorf("forwards are left (%d)", code)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
