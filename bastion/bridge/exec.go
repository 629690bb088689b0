package bridge

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/bastion/bridge/spdy"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/tcp"
	"github.com/podbastion/podbastion/internal/tty"
)

// protocol is remotecommand's version whose exit statuses are JSON.
const protocol = "v4.channel.k8s.io"

// maxStatus bounds the text that tells how an execution ended.
const maxStatus = 64 << 10

// Start is one execution.
type Start struct {
	Session string // one session executes one thing at a time
	Account string
	Target  target.Target
	User    string // empty: the container's own
	Argv    []string
	Env     []string // NAME=value
	TTY     bool
	Size    tty.Size
	Modes   []byte // terminal modes as RFC 4254 section 8 encodes them; may be empty
}

// Exit is how a process ended: with a code, or by a signal (its name without SIG; Code is then 128 plus its number).
type Exit struct {
	Code       int
	Signal     string
	CoreDumped bool
	// NotStarted says why the program did not start, when it did not; Code is then 126 or 127.
	NotStarted string
}

// Process is a running execution. Its methods may be used concurrently. Stdout and Stderr must both be read to the
// end: what is not read holds everything else back, the exit included.
type Process interface {
	// Stdin's Close is a half-close: output goes on.
	Stdin() io.WriteCloser
	// Stdout ends with io.EOF after the last byte, and with a *LostError when bytes may be missing.
	Stdout() io.Reader
	// Stderr is nil when there is a terminal.
	Stderr() io.Reader
	// Resize sets the terminal's size. It does not wait for the program to read its input.
	Resize(tty.Size) error
	// Signal sends a signal (name without SIG) to the foreground process group.
	Signal(ctx context.Context, name string) error
	// Wait returns how the process ended. The error is a *LostError when that is not known.
	Wait() (Exit, error)
	// Close ends the process and all that it started, unless it has ended by itself, and everything here. It returns in
	// bounded time.
	Close() error
}

// Exec starts an execution; ctx bounds the start only. A program that cannot be started is told by Wait.
func (b *Bridge) Exec(ctx context.Context, s Start) (Process, error) {
	q := url.Values{"command": s.Argv, "env": s.Env, "input": {"1"}, "output": {"1"}, "credit": {"1"}}
	kinds := []string{"error", "stdin", "stdout"}
	if s.TTY {
		q.Set("tty", "1")
		q.Set("rows", strconv.Itoa(int(s.Size.Rows)))
		q.Set("columns", strconv.Itoa(int(s.Size.Cols)))
		if len(s.Modes) > 0 {
			q.Set("modes", base64.RawURLEncoding.EncodeToString(s.Modes))
		}
		kinds = append(kinds, "resize")
	} else {
		q.Set("error", "1")
		kinds = append(kinds, "stderr")
	}
	g := grantFor(grant.Exec, s.Session, s.Account, s.Target)
	g.User = s.User
	conn, err := b.upgrade(ctx, s.Target, "/exec/"+path(s.Target)+"?"+q.Encode(), g, protocol)
	if err != nil {
		return nil, err
	}
	headers := make([]map[string]string, len(kinds))
	for i, k := range kinds {
		headers[i] = map[string]string{"streamtype": k}
	}
	streams, err := conn.Open(headers...)
	if err != nil {
		conn.unwatch()
		conn.Close()
		return nil, &LostError{err.Error()}
	}
	p := &process{bridge: b, start: s, conn: conn, stdin: &stdin{stream: streams[1], credit: window}, ended: make(chan struct{}), over: make(chan struct{})}
	p.stdout = &output{p: p, stream: streams[2]}
	if s.TTY {
		p.resize = streams[3]
	} else {
		p.stderr = &output{p: p, stream: streams[3]}
		spdy.InOrder(streams[2], streams[3])
	}
	go p.serve()
	go p.status(streams[0])
	return p, nil
}

// upgrade asks for a path and has the connection become SPDY.
func (b *Bridge) upgrade(ctx context.Context, t target.Target, path string, g grant.Grant, proto string) (*link, error) {
	n, err := b.node(t)
	if err != nil {
		return nil, err
	}
	req, err := b.request(ctx, n, http.MethodGet, path, g, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "SPDY/3.1")
	req.Header.Set("X-Stream-Protocol-Version", proto)
	var raw net.Conn
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { raw = info.Conn }}
	resp, err := n.client.Do(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		return nil, n.unreachable(err)
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer resp.Body.Close()
		return nil, n.answerError(resp)
	}
	if got := resp.Header.Get("X-Stream-Protocol-Version"); !strings.HasPrefix(got, proto) {
		_ = rw.Close()
		return nil, fmt.Errorf("bridge: node %s speaks %q, want %s", n.name, got, proto)
	}
	conn := spdy.New(&wholeWriter{rw, raw}, bufio.NewReader(rw))
	return &link{conn, raw, b.watch.add(raw, func() { _ = raw.Close() })}, nil
}

// wholeWriter has each frame that is written sent at once, however many TLS records it is.
type wholeWriter struct {
	io.ReadWriteCloser
	raw net.Conn
}

func (w *wholeWriter) Write(p []byte) (n int, err error) {
	if t, ok := w.raw.(*tls.Conn); ok {
		if b, ok := t.NetConn().(*tcp.Bulk); ok {
			err = b.Whole(func() error { n, err = w.ReadWriteCloser.Write(p); return err })
			return n, err
		}
	}
	return w.ReadWriteCloser.Write(p)
}

// process is an execution on an agent. Two goroutines belong to it: serve ends with the connection, status with serve.
type process struct {
	bridge         *Bridge
	start          Start
	conn           *link
	rest           time.Duration // how long Close waits for what the agent still has to say
	stdin          io.WriteCloser
	resize         *spdy.Stream
	stdout, stderr *output

	over  chan struct{} // closed when the connection is over
	ended chan struct{} // closed when exit and err are known
	exit  Exit
	err   error

	sizes   sync.Mutex // guards the two below
	size    *tty.Size  // the newest size that was not sent yet
	sending bool

	closeOnce sync.Once
	closeErr  error
}

func (p *process) serve() {
	defer close(p.over)
	p.conn.Serve()
}

// status waits for the word on how the execution ended. It comes behind all output on the same connection, so whoever
// has it will find the output complete.
func (p *process) status(s *spdy.Stream) {
	defer close(p.ended)
	text, err := io.ReadAll(io.LimitReader(s, maxStatus))
	if len(text) == 0 {
		p.err = &LostError{lostReason(err)}
		return
	}
	p.exit, p.err = parseStatus(text)
}

func lostReason(err error) string {
	if err == nil || errors.Is(err, spdy.ErrEnded) || errors.Is(err, spdy.ErrReset) {
		return "the agent's connection ended before the program did"
	}
	return "the agent's connection broke: " + err.Error()
}

// parseStatus reads the JSON of a remotecommand v4 error stream (a metav1.Status). The agent's text carries what the
// code cannot: "exit N", "signal NAME [core]" or "start TEXT".
func parseStatus(text []byte) (Exit, error) {
	var status struct {
		Status, Message, Reason string
		Details                 struct {
			Causes []struct{ Reason, Message string }
		}
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return Exit{}, &LostError{"the agent's word on the end was cut off"}
	}
	switch {
	case status.Status == "Success":
		return Exit{}, nil
	case status.Status != "Failure" || status.Reason != "NonZeroExitCode":
		reason := strings.TrimPrefix(status.Message, "Internal error occurred: ")
		return Exit{}, &LostError{strings.TrimPrefix(reason, "error executing command in container: ")}
	}
	x := Exit{Code: -1}
	for _, c := range status.Details.Causes {
		if n, err := strconv.ParseUint(c.Message, 10, 8); err == nil && c.Reason == "ExitCode" {
			x.Code = int(n)
		}
	}
	if x.Code <= 0 {
		return Exit{}, &LostError{"the agent told of a failure without a code"}
	}
	_, word, _ := strings.Cut(status.Message, "exit code: ")
	kind, rest, _ := strings.Cut(word, " ")
	switch kind {
	case "signal":
		x.Signal, x.CoreDumped = strings.CutSuffix(rest, " core")
	case "start":
		x.NotStarted = rest
	}
	return x, nil
}

func (p *process) Stdin() io.WriteCloser { return p.stdin }
func (p *process) Stdout() io.Reader     { return p.stdout }

func (p *process) Stderr() io.Reader {
	if p.stderr == nil {
		return nil
	}
	return p.stderr
}

// window is how many frames of input may be on the way. What the agent has taken comes back on the same stream, a byte
// with the number of frames each time.
const window = 40

// stdin is a program's input.
type stdin struct {
	stream *spdy.Stream
	mu     sync.Mutex // guards credit; held while writing
	credit int
}

func (s *stdin) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := 0
	for len(p) > 0 {
		for s.credit <= 0 {
			var words [window]byte
			n, err := s.stream.Read(words[:])
			if err != nil {
				return sent, fmt.Errorf("bridge: input: %w", err)
			}
			for _, w := range words[:n] {
				s.credit += int(w)
			}
		}
		s.credit--
		n, err := s.stream.Write(p[:min(len(p), spdy.MaxWrite)])
		sent += n
		if err != nil {
			return sent, fmt.Errorf("bridge: input: %w", err)
		}
		p = p[n:]
	}
	return sent, nil
}

func (s *stdin) Close() error { return s.stream.CloseWrite() }

// output tells the end of the output from a loss.
type output struct {
	p      *process
	stream *spdy.Stream
}

func (o *output) Read(b []byte) (int, error) {
	n, err := o.stream.Read(b)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	<-o.p.ended // the status came before the reset or the end of the connection, or never will
	if lost := (*LostError)(nil); errors.As(o.p.err, &lost) {
		return n, o.p.err
	}
	return n, io.EOF
}

func (p *process) Wait() (Exit, error) {
	<-p.ended
	return p.exit, p.err
}

func (p *process) Resize(size tty.Size) error {
	if p.resize == nil {
		return errors.New("bridge: no terminal to resize")
	}
	p.sizes.Lock()
	defer p.sizes.Unlock()
	p.size = &size
	if !p.sending {
		p.sending = true
		go p.sendSizes() // ends with the connection at the latest
	}
	return nil
}

// sendSizes sends the newest size until there is no newer: writing waits when the program does not read its input.
func (p *process) sendSizes() {
	for {
		p.sizes.Lock()
		size := p.size
		p.size = nil
		if size == nil {
			p.sending = false
			p.sizes.Unlock()
			return
		}
		p.sizes.Unlock()
		text, _ := json.Marshal(struct{ Width, Height uint16 }{size.Cols, size.Rows}) // two numbers
		_, _ = p.resize.Write(append(text, '\n'))                                     // a lost connection shows in Wait
	}
}

func (p *process) Signal(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	body, err := json.Marshal(struct {
		Signal string `json:"signal"`
	}{name})
	if err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	_, err = p.control(ctx, http.MethodPost, "/signal", body)
	return err
}

func (p *process) control(ctx context.Context, method, what string, body []byte) ([]byte, error) {
	g := grantFor(grant.Control, p.start.Session, p.start.Account, p.start.Target)
	return p.bridge.ask(ctx, p.start.Target, method, "/v1/sessions/"+url.PathEscape(p.start.Session)+what, g, body)
}

// wait waits for the word on the end, which comes behind everything else, but not for ever.
func (p *process) wait(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
	}
}

func (p *process) Close() error {
	p.closeOnce.Do(func() {
		select {
		case <-p.ended:
		default:
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			defer cancel()
			// Should the agent not hear this, it ends the session when it sees the connection go.
			if _, err := p.control(ctx, http.MethodDelete, "", nil); err != nil && !errors.Is(err, ErrGone) {
				p.closeErr = err
			} else if p.rest > 0 {
				p.wait(p.rest)
			}
		}
		p.conn.Close()
		<-p.over
		<-p.ended
	})
	return p.closeErr
}
