package log

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/audit"
)

// child is what the test binary does when it is started as a process of its own.
func child(path string) {
	switch os.Getenv("AUDIT_LOG_MODE") {
	case "crash":
		crash(path)
	case "limit":
		if err := limit(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

func startChild(t *testing.T, mode, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "AUDIT_LOG_CHILD="+path, "AUDIT_LOG_MODE="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// crash appends for ever from many goroutines and prints each event that was acknowledged.
func crash(path string) {
	l, err := Open(path, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var out sync.Mutex
	for a := range 16 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", a, i)
				if err := l.Append(context.Background(), audit.Event{Type: audit.Command, Session: id, Line: strings.Repeat("x", i%300)}); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println("ack", id)
				out.Unlock()
			}
		}()
	}
	select {}
}

// Killed at any moment, nothing that was acknowledged is lost, and the log goes on.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	acknowledged := map[string]bool{}
	for round := range 5 {
		cmd, out := startChild(t, "crash", path)
		deadline := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		for n := 0; out.Scan(); n++ {
			id, ok := strings.CutPrefix(out.Text(), "ack ")
			if !ok {
				t.Fatalf("child: %s", out.Text())
			}
			acknowledged[fmt.Sprint(round, " ", id)] = true
			if n == 200*(round+1) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		deadline.Stop()
		l := open(t, path)
		add(t, l, audit.Event{Type: audit.SessionEnd, Session: fmt.Sprint("round ", round)})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	round := 0
	for _, e := range chain(t, path) {
		switch e["type"] {
		case "command":
			delete(acknowledged, fmt.Sprint(round, " ", e["session"]))
		case "session.end":
			round++
		}
	}
	if len(acknowledged) > 0 || round != 5 {
		t.Errorf("%d acknowledged events are lost, %d rounds", len(acknowledged), round)
	}
}

// limit fills a file up to the size that the kernel allows, then raises the limit.
func limit(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	l, err := Open(path, Options{})
	if err != nil {
		return err
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 10_000, Max: old.Max}); err != nil {
		return err
	}
	accepted, refused := 0, 0
	for refused < 3 {
		err := l.Append(context.Background(), audit.Event{Type: audit.Command, Line: strings.Repeat("x", 1000)})
		switch {
		case err == nil && refused > 0:
			return errors.New("an event was taken though there is no room")
		case err == nil:
			accepted++
		case !errors.Is(err, unix.EFBIG) || l.Err() == nil:
			return fmt.Errorf("refused with %w, health %w", err, l.Err())
		default:
			refused++
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if data[len(data)-1] != '\n' || strings.Count(string(data), "\n") != accepted {
		return fmt.Errorf("%d bytes, %d accepted", len(data), accepted)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	for l.Err() != nil { // it gets well by itself; the test's own deadline ends this
		time.Sleep(10 * time.Millisecond)
	}
	if err := l.Append(context.Background(), audit.Event{Type: audit.SessionEnd}); err != nil {
		return err
	}
	fmt.Println("accepted", accepted)
	return l.Close()
}

func TestNoRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	cmd, out := startChild(t, "limit", path)
	deadline := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	out.Scan()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.Text())
	}
	var accepted int
	if _, err := fmt.Sscanf(out.Text(), "accepted %d", &accepted); err != nil {
		t.Fatal(out.Text())
	}
	events := chain(t, path)
	if len(events) != accepted+2 {
		t.Fatalf("%d events, %d accepted", len(events), accepted)
	}
	if e := events[accepted]; e["type"] != "log.resume" || !strings.HasPrefix(e["reason"].(string), "3 events were refused since ") ||
		!strings.Contains(e["reason"].(string), "file too large") {
		t.Errorf("event %v", e)
	}
}
