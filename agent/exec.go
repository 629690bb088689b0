package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/internal/tty"
)

const (
	bufferSize = 32 << 10           // of input that is copied at a time
	outputSize = 64<<10 - frameHead // of output: with its head a frame fills four TLS records
)

// exec serves remotecommand.
func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	want := grant.Want{
		Kind: grant.Exec, Namespace: r.PathValue("namespace"), Pod: r.PathValue("pod"), Container: r.PathValue("container"),
	}
	g, ok := s.authorise(w, r, want)
	if !ok {
		return
	}
	c, ok := s.container(w, r, want, g)
	if !ok {
		return
	}
	began, query := time.Now(), r.URL.Query()
	opts, err := remotecommand.NewOptions(r)
	if err != nil || len(query["command"]) == 0 {
		http.Error(w, "agent: an exec needs command= and at least one of input=1, output=1, error=1", http.StatusBadRequest)
		return
	}
	env, modes, err := execExtras(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	live := newSession(g)
	if err := s.begin(live); err != nil { // before the answer, so that whoever has that can signal at once
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	defer s.finish(live)
	conn, _ := r.Context().Value(connKey{}).(*watched)
	e := &executor{server: s, live: live, grant: g, container: c, conn: conn, env: env, modes: modes, began: began, credit: query.Get("credit") == "1", size: tty.Size{
		Cols: number(query.Get("columns")), Rows: number(query.Get("rows")),
	}}
	if !wsstream.IsWebSocketRequest(r) {
		w = wholeFrames{w}
	}
	remotecommand.ServeExec(w, r, e, g.Pod, g.UID, g.Container, query["command"], opts, 0, streamTimeout, []string{remotecommand.StreamProtocolV4Name})
}

func number(s string) uint16 {
	n, _ := strconv.ParseUint(s, 10, 16) // absent or nonsense: no size
	return uint16(n)
}

// execExtras reads what remotecommand does not know: environment and terminal modes.
func execExtras(query url.Values) (env []string, modes []byte, err error) {
	for _, e := range query["env"] {
		name, _, ok := strings.Cut(e, "=")
		if !ok || name == "" || strings.ContainsRune(e, 0) {
			return nil, nil, errors.New("agent: env= wants NAME=value")
		}
		if name != proc.Marker { // the agent's own, by which it finds processes again
			env = append(env, e)
		}
	}
	modes, err = base64.RawURLEncoding.DecodeString(query.Get("modes"))
	if err != nil {
		return nil, nil, errors.New("agent: modes= wants unpadded base64url of RFC 4254's encoding")
	}
	return env, modes, nil
}

// executor runs one grant's execution.
type executor struct {
	server    *Server
	live      *session
	grant     grant.Grant
	container runtime.Container
	conn      *watched
	env       []string
	modes     []byte
	began     time.Time
	credit    bool // the client sends no more input than it has credit for
	size      tty.Size
}

// begin registers the session; one session executes one thing at a time.
func (s *Server) begin(live *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return errStopping
	case s.sessions[live.id] != nil:
		return errors.New("agent: the session executes something already")
	}
	s.sessions[live.id] = live
	s.wg.Add(1)
	s.o.Metrics.sessions.Inc()
	return nil
}

func (s *Server) finish(live *session) {
	live.cancel(nil)
	live.end()
	s.mu.Lock()
	delete(s.sessions, live.id)
	s.mu.Unlock()
	s.o.Metrics.sessions.Dec()
	s.wg.Done()
}

// ExecInContainer implements remotecommand.Executor.
func (e *executor) ExecInContainer(_ context.Context, _, _, _ string, argv []string, in io.Reader, out, errOut io.WriteCloser,
	terminal bool, resize <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	live, ctx := e.live, e.live.ctx
	defer e.server.watcher.add(e.conn, func() { live.cancel(errors.New("the bastion's connection is gone")) })()
	log := e.server.o.Log.WithFields(logrus.Fields{
		"session": e.grant.Session, "account": e.grant.Account, "container": e.container.String(),
	})
	p, err := e.server.o.Runtime.Exec(ctx, e.container, runtime.Spec{
		Session: e.grant.Session, Argv: argv, Env: e.env, User: e.grant.User, TTY: terminal, Size: e.size, Modes: e.modes,
	})
	if err != nil {
		log.WithError(err).Info("exec could not start")
		return startText(err)
	}
	live.start(p.ID())
	e.server.o.Metrics.start.Observe(time.Since(e.began).Seconds())
	defer e.server.o.Reap(e.grant.Session, p.ID())()

	copied := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		e.kill(p, log)
		live.end()
		select {
		case <-copied:
		case <-time.After(linger): // the peer does not read what it is to get
			e.cut()
		}
	})
	exit, err := e.run(ctx, p, in, out, errOut, resize)
	close(copied)
	if !stop() {
		<-live.over
		log.WithField("reason", context.Cause(ctx).Error()).Info("exec ended from outside")
		return fmt.Errorf("agent: %w", context.Cause(ctx))
	}
	if err != nil {
		e.kill(p, log)
		log.WithError(err).Warn("exec lost")
		return err
	}
	for _, w := range []io.Closer{out, errOut} {
		if w != nil {
			_ = w.Close() // tells the peer that this was all
		}
	}
	log.WithFields(logrus.Fields{"code": exit.Code, "signal": exit.Signal}).Debug("exec ended")
	return exitText(exit)
}

func (e *executor) kill(p runtime.Process, log logrus.FieldLogger) {
	ctx, stop := context.WithTimeout(context.Background(), killTimeout)
	defer stop()
	if err := p.Kill(ctx); err != nil {
		log.WithError(err).Error("processes of the session are left")
	}
}

func (e *executor) cut() {
	if e.conn != nil {
		e.conn.cut()
	}
}

// run copies until the process has ended and all of its output is written, or ctx ends.
func (e *executor) run(ctx context.Context, p runtime.Process, in io.Reader, out, errOut io.Writer, resize <-chan remotecommand.TerminalSize) (runtime.Exit, error) {
	if in == nil {
		_ = p.Stdin().Close()
	} else {
		if w, ok := in.(io.Writer); ok && e.credit {
			in = &crediting{in: in, out: w}
		}
		go func() { // ends with the connection, which ends with this request
			_, err := copyBuffer(e.server.o.Metrics.flow("in", p.Stdin()), in, bufferSize)
			_ = p.Stdin().Close()
			if err != nil {
				_, _ = io.Copy(io.Discard, in) // the program takes no more; resizes share the connection
			}
		}()
	}
	if resize != nil {
		running, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() { // the channel is closed with the connection
			for size := range resize {
				e.resize(running, p, tty.Size{Cols: size.Width, Rows: size.Height})
			}
		}()
	}
	var copies sync.WaitGroup
	output := func(w io.Writer, r io.Reader) {
		if r == nil {
			return
		}
		if w == nil {
			w = io.Discard
		}
		copies.Go(func() {
			_, err := copyBuffer(e.server.o.Metrics.flow("out", w), r, outputSize)
			if err != nil {
				_, _ = io.Copy(io.Discard, r) // the peer is going; the process must not hang on it
			}
		})
	}
	output(out, p.Stdout())
	output(errOut, p.Stderr())
	exit, err := p.Wait(ctx)
	copies.Wait()
	return exit, err
}

// resize sets a terminal's size. It tries again: a client tells the size once, and an engine that is at work may refuse it
// for the moment.
func (e *executor) resize(ctx context.Context, p runtime.Process, size tty.Size) {
	err := p.Resize(size)
	for _, pause := range [...]time.Duration{100 * time.Millisecond, 400 * time.Millisecond, time.Second} {
		if err == nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		err = p.Resize(size)
	}
	if err != nil {
		e.server.o.Log.WithError(err).WithField("session", e.grant.Session).Info("a terminal has not got its new size")
	}
}

// creditEvery is how many frames of input are taken between two words about it.
const creditEvery = 8

// crediting tells a client, on the way back of the input's stream, of the frames that were taken: a byte with their
// number. With at most 40 on the way, as architecture.md says, a program that does not read its input never fills the
// connection, so that resizes pass and the client's end is seen.
type crediting struct {
	in    io.Reader
	out   io.Writer
	taken byte
}

// Read implements io.Reader. It is called again when what it gave was taken.
func (c *crediting) Read(p []byte) (int, error) {
	if c.taken == creditEvery {
		if _, err := c.out.Write([]byte{c.taken}); err != nil {
			return 0, err
		}
		c.taken = 0
	}
	n, err := c.in.Read(p) // one frame, which is no longer than p
	c.taken++
	return n, err
}

// copyBuffer copies so much at a time. It hides other methods of both, so that the buffer is used.
func copyBuffer(w io.Writer, r io.Reader, size int) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, size))
}

// exitText tells an exit as remotecommand can: a code, and a text that carries what a code cannot.
func exitText(x runtime.Exit) error {
	if x.Code == 0 && x.Signal == "" {
		return nil
	}
	text := fmt.Sprintf("exit %d", x.Code)
	if x.Signal != "" {
		text = "signal " + x.Signal
		if x.CoreDumped {
			text += " core"
		}
	}
	return utilexec.CodeExitError{Err: errors.New(text), Code: x.Code}
}

// startText tells that the program did not start.
func startText(err error) error {
	var start *runtime.StartError
	switch {
	case errors.As(err, &start):
		return utilexec.CodeExitError{Err: errors.New("start " + start.Error()), Code: start.Code}
	case errors.Is(err, runtime.ErrGone):
		return errors.New("gone: the container ended")
	}
	return err
}
