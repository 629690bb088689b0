// Package reaper ends what an agent that was killed left running. It is a small process beside the agent that is told
// of every session over a pipe; when the pipe breaks while sessions are open, it ends their process trees and itself.
// It knows sessions by name and first process, and no more.
package reaper

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/podbastion/podbastion/agent/runtime/proc"
)

// Command is the first argument that makes the agent's program a reaper.
const Command = "reaper"

const (
	grace    = 300 * time.Millisecond // for processes to end after SIGHUP
	patience = 30 * time.Second       // for all of one session's
	atOnce   = 4                      // each look goes through all of /proc
	maxLine  = 4 << 10
)

// Main does a reaper's work, if the process is one, and ends it. It is to be called first.
func Main() {
	if len(os.Args) != 2 || os.Args[1] != Command {
		return
	}
	// It stays as long as its agent does, and that may take its time to stop.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGPIPE)
	if err := reap(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// reap follows the agent's lines, "+ SESSION PID START" and "- SESSION", until they end.
func reap(r io.Reader) error {
	open := map[string]proc.ID{}
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, maxLine), maxLine)
	for sc.Scan() {
		var op, session string
		var id proc.ID
		_, _ = fmt.Sscanf(sc.Text(), "%s %s %d %d", &op, &session, &id.PID, &id.Start) // "-" has two words
		switch op {
		case "+":
			open[session] = id
		case "-":
			delete(open, session)
		}
	}
	return endAll(open)
}

func endAll(open map[string]proc.ID) error {
	slots := make(chan struct{}, atOnce)
	errs := make(chan error, len(open))
	for session, id := range open {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			errs <- proc.EndTree(ctx, session, id, grace)
		}()
	}
	var first error
	for range open {
		if err := <-errs; err != nil && first == nil {
			first = fmt.Errorf("reaper: %w", err)
		}
	}
	return first
}

// Reaper is the agent's end.
type Reaper struct {
	log func(format string, args ...any)

	mu   sync.Mutex // guards all below
	open map[string]proc.ID
	pipe *os.File  // to the process
	cmd  *exec.Cmd // the process
	done chan struct{}
}

// Start starts the process from the running program, which must call Main. log hears of trouble.
func Start(log func(format string, args ...any)) (*Reaper, error) {
	r := &Reaper{log: log, open: map[string]proc.ID{}}
	if err := r.start(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reaper) start() error {
	in, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("reaper: %w", err)
	}
	defer in.Close()
	cmd := exec.Command("/proc/self/exe", Command)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stderr, cmd.Dir = in, os.Stderr, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a signal to the agent's group is not for it
	if err := cmd.Start(); err != nil {
		_ = out.Close()
		return fmt.Errorf("reaper: %w", err)
	}
	done := make(chan struct{})
	go func() { // ends with the process
		defer close(done)
		_ = cmd.Wait()
	}()
	r.pipe, r.cmd, r.done = out, cmd, done
	return nil
}

// Watch tells of a session. The result is to be called when nothing of it is left that has to end.
func (r *Reaper) Watch(session string, root proc.ID) (done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[session] = root
	r.tell(fmt.Sprintf("+ %s %d %d\n", session, root.PID, root.Start))
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, session)
		r.tell(fmt.Sprintf("- %s\n", session))
	}
}

// tell writes a line. A reaper that has died is replaced, and told of all that is open.
func (r *Reaper) tell(line string) {
	_ = r.pipe.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := r.pipe.WriteString(line); err == nil {
		return
	}
	r.log("reaper: it is gone; starting another")
	_ = r.pipe.Close()
	if err := r.start(); err != nil {
		r.log("reaper: sessions would outlive a kill of the agent: %v", err)
		return
	}
	for session, id := range r.open {
		if _, err := fmt.Fprintf(r.pipe, "+ %s %d %d\n", session, id.PID, id.Start); err != nil {
			r.log("reaper: %v", err)
			return
		}
	}
}

// Close ends the process. What is still open then ends too.
func (r *Reaper) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.pipe.Close()
	<-r.done
}
