// Package reaper ends what an agent that was killed left running. It is a small process beside the agent that is told
// of every session over a pipe; when the pipe breaks while sessions are open, it ends their process trees and itself.
// Where both were killed at once, as when a container of the agent's ends, the next agent ends what the file of open
// sessions names. It knows sessions by name and first process, and no more.
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
	"github.com/podbastion/podbastion/internal/journal"
)

// Command is the first argument that makes the agent's program a reaper.
const Command = "reaper"

const (
	patience = 30 * time.Second // for all of one session's
	atOnce   = 4                // each look goes through all of /proc
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
	open := sessions{}
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, maxLine), maxLine)
	for sc.Scan() {
		open.take(sc.Text())
	}
	return endAll(open)
}

// sessions are open sessions with their first processes.
type sessions map[string]proc.ID

func (s sessions) take(line string) {
	var op, session string
	var id proc.ID
	_, _ = fmt.Sscanf(line, "%s %s %d %d", &op, &session, &id.PID, &id.Start) // "-" has two words
	switch op {
	case "+":
		s[session] = id
	case "-":
		delete(s, session)
	}
}

func opened(session string, id proc.ID) string {
	return fmt.Sprintf("+ %s %d %d\n", session, id.PID, id.Start)
}

func endAll(open sessions) error {
	slots := make(chan struct{}, atOnce)
	var ender proc.Ender
	errs := make(chan error, len(open))
	for session, id := range open {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			errs <- ender.EndTree(ctx, session, id, proc.Grace)
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
	open sessions
	file *journal.Journal // of what is open; nil for none
	pipe *os.File         // to the process
	cmd  *exec.Cmd        // the process
	done chan struct{}
}

// Start starts the process from the running program, which must call Main. file is where open sessions are remembered,
// empty for nowhere: what it names from before is ended first. log hears of trouble.
func Start(file string, log func(format string, args ...any)) (*Reaper, error) {
	r := &Reaper{log: log, open: sessions{}}
	if file != "" {
		if err := r.resume(file); err != nil {
			return nil, err
		}
	}
	if err := r.start(); err != nil {
		r.forget()
		return nil, err
	}
	return r, nil
}

// resume ends what an agent before this one left open.
func (r *Reaper) resume(file string) error {
	left := sessions{}
	j, err := journal.Open(file, left.take)
	if err != nil {
		return fmt.Errorf("reaper: %w", err)
	}
	r.file = j
	if len(left) > 0 {
		r.log("reaper: ending %d sessions of an agent before this one", len(left))
	}
	if err := endAll(left); err != nil {
		r.log("reaper: %v", err)
	}
	if err := j.Rewrite(r.list); err != nil {
		r.forget()
		return err
	}
	return nil
}

func (r *Reaper) list(w *bufio.Writer) {
	for session, id := range r.open {
		_, _ = w.WriteString(opened(session, id)) // w keeps its first error
	}
}

func (r *Reaper) forget() {
	if r.file != nil {
		_ = r.file.Close()
	}
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
	r.tell(opened(session, root))
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, session)
		r.tell(fmt.Sprintf("- %s\n", session))
	}
}

// tell writes a line. A reaper that has died is replaced, and told of all that is open.
func (r *Reaper) tell(line string) {
	r.remember(line)
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
		if _, err := r.pipe.WriteString(opened(session, id)); err != nil {
			r.log("reaper: %v", err)
			return
		}
	}
}

func (r *Reaper) remember(line string) {
	if r.file == nil {
		return
	}
	err := r.file.Append([]byte(line))
	if err == nil && r.file.Grown() {
		err = r.file.Rewrite(r.list)
	}
	if err != nil {
		r.log("reaper: the file of open sessions: %v", err)
	}
}

// Close ends the process. What is still open then ends too.
func (r *Reaper) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.pipe.Close()
	<-r.done
	r.forget()
}
