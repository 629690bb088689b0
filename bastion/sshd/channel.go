package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	glider "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/internal/tty"
)

// Bounds of what a client may ask for before its session runs.
const (
	maxVariables = 64
	maxVariable  = 8 << 10 // bytes of a name and its value
	maxCommand   = 1 << 20 // bytes
	maxTerm      = 64      // bytes
	maxModes     = 1 << 10 // bytes
	maxSubsystem = 64      // bytes
	askTimeout   = time.Minute
)

// opened is a channel that a client wants to open, on a connection that is logged in.
type opened struct {
	conn  *conn
	ssh   *ssh.ServerConn
	login session.Login
	ctx   context.Context
}

// channel counts channels and hands over to serve.
func (s *Server) channel(serve func(o opened, ch ssh.NewChannel)) glider.ChannelHandler {
	return func(_ *glider.Server, sc *ssh.ServerConn, ch ssh.NewChannel, ctx glider.Context) {
		s.wg.Add(1)
		defer s.wg.Done()
		c, p := stateOf(ctx), principalOf(sc)
		if c == nil || p == nil {
			_ = ch.Reject(ssh.Prohibited, "no principal")
			_ = sc.Close()
			return
		}
		c.used(ctx)
		defer c.channels.Add(-1)
		if int(c.channels.Add(1)) > s.o.Limits.MaxChannels {
			_ = ch.Reject(ssh.ResourceShortage, fmt.Sprintf("a connection may have %d sessions and forwards at once", s.o.Limits.MaxChannels))
			return
		}
		serve(opened{conn: c, ssh: sc, ctx: ctx, login: session.Login{
			Principal: p, User: sc.User(), Client: string(sc.ClientVersion()), Local: addrPort(sc.LocalAddr()), At: c.loginAt,
		}}, ch)
	}
}

func (s *Server) rejectChannel(_ opened, ch ssh.NewChannel) {
	text := "the bastion serves sessions and direct-tcpip only"
	if ch.ChannelType() == "direct-streamlocal@openssh.com" {
		text = "sockets in the pod cannot be forwarded, only its ports"
	}
	_ = ch.Reject(ssh.UnknownChannelType, text)
}

// globalRequest answers what concerns the whole connection.
func (s *Server) globalRequest(ctx glider.Context, _ *glider.Server, req *ssh.Request) (bool, []byte) {
	c := stateOf(ctx)
	if c == nil {
		return false, nil
	}
	c.used(ctx)
	switch req.Type {
	case "keepalive@openssh.com":
		return true, nil
	case "no-more-sessions@openssh.com":
		c.noMore.Store(true)
		return true, nil
	case "tcpip-forward", "streamlocal-forward@openssh.com":
		c.notes.add("remote forwarding (-R) is refused: a pod may not open connections to you")
	}
	return false, nil
}

// notes are refusals that the protocol has no words for; the connection's next session tells them.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, have := range n.list {
		if have == text {
			return
		}
	}
	n.list = append(n.list, text)
}

func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.list
	n.list = nil
	return list
}

// serveSession serves one session channel (RFC 4254 section 6).
func (s *Server) serveSession(o opened, newChannel ssh.NewChannel) {
	// The promise may be heard before the channel that was opened before it: requests and channels come by different ways.
	// So it is held against those after the first only; clients make it once they have opened that one.
	second := o.conn.first.Swap(true)
	if second && o.conn.noMore.Load() {
		_ = newChannel.Reject(ssh.Prohibited, "the client said that it would open no more sessions")
		return
	}
	ch, reqs, err := newChannel.Accept()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	if second {
		o.login.At = time.Time{}
	}
	c := &channel{server: s, opened: o, ch: ch, start: make(chan session.Request, 1),
		resizes: make(chan tty.Size, 1), signals: make(chan string, 8)}
	requests := make(chan struct{})
	go func() { // ends when the client closes the channel or the connection
		defer close(requests)
		defer cancel()
		c.requests(reqs)
	}()
	timer := time.NewTimer(askTimeout)
	defer timer.Stop()
	select {
	case req := <-c.start:
		req.Notes = append(req.Notes, o.conn.notes.take()...)
		stderr := &locked{w: ch.Stderr()}
		exit := s.o.Sessions.Serve(ctx, o.login, req, session.Client{
			Stdin: ch, Stdout: ch, Stderr: stderr, Resizes: c.resizes, Signals: c.signals, Abort: func() { _ = o.ssh.Close() },
		})
		finish(ch, stderr, exit)
	case <-timer.C:
	case <-ctx.Done():
	}
	_ = ch.Close()
	<-requests // the client's own close: until then the channel counts
}

// finish ends a channel whose output is written: how it ended, EOF, close. A process that a signal killed is told both as
// exit-signal and, for clients that do not know that, as the status that a shell would give. The status goes before EOF, as
// OpenSSH's sshd sends it: Dropbear's client closes at EOF and hears no status after that, and then says 0.
func finish(ch ssh.Channel, stderr *locked, exit bridge.Exit) {
	if exit.Signal != "" {
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal, Message string
			CoreDumped      bool
			Language        string
		}{Signal: exit.Signal, CoreDumped: exit.CoreDumped}))
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(exit.Code)}))
	stderr.end(func() { _ = ch.CloseWrite() })
	_ = ch.Close()
}

// locked lets several goroutines write, until it has ended.
type locked struct {
	mu    sync.Mutex
	w     io.Writer
	ended bool
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, io.ErrClosedPipe
	}
	return l.w.Write(p)
}

// end has nobody write any more, and does what ends it, unless somebody is writing: to a client that takes nothing that
// lasts until the channel is closed.
func (l *locked) end(last func()) {
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	l.ended = true
	last()
}

// channel is one session channel's requests.
type channel struct {
	server  *Server
	opened  opened
	ch      ssh.Channel
	start   chan session.Request // takes one without blocking
	started bool
	handed  bool // start has it
	request session.Request
	resizes chan tty.Size
	signals chan string
}

// requests answers until the channel is closed. It must never block: the library reads nothing else meanwhile.
func (c *channel) requests(reqs <-chan *ssh.Request) {
	for req := range reqs {
		ok := c.answer(req)
		_ = req.Reply(ok, nil)
		if c.started && !c.handed {
			c.handed = true
			c.start <- c.request // after the reply, so that it comes first on the wire
		}
	}
}

// answer says whether a request is granted.
func (c *channel) answer(req *ssh.Request) bool {
	switch req.Type {
	case "pty-req":
		return c.terminal(req.Payload)
	case "env":
		return c.variable(req.Payload)
	case "shell":
		return c.begin(session.Shell, "")
	case "exec":
		var m struct{ Command string }
		if ssh.Unmarshal(req.Payload, &m) != nil || len(m.Command) > maxCommand || strings.ContainsRune(m.Command, 0) {
			return false
		}
		return c.begin(session.Exec, m.Command)
	case "subsystem":
		var m struct{ Name string }
		if ssh.Unmarshal(req.Payload, &m) != nil || len(m.Name) > maxSubsystem {
			return false
		}
		return c.begin(session.Subsystem, m.Name)
	case "window-change":
		var m struct{ Cols, Rows, Width, Height uint32 }
		if ssh.Unmarshal(req.Payload, &m) != nil || c.request.Terminal == nil {
			return false
		}
		c.resize(size(m.Cols, m.Rows))
		return true
	case "signal":
		var m struct{ Name string }
		return ssh.Unmarshal(req.Payload, &m) == nil && c.signal(m.Name)
	case "break":
		return c.signal("INT")
	case "keepalive@openssh.com":
		return true
	case "x11-req":
		c.note("X11 forwarding is refused: a pod may not reach your display")
	case "auth-agent-req@openssh.com":
		c.note("agent forwarding is refused: a pod may not use your keys")
	}
	return false
}

func (c *channel) note(text string) {
	if !c.started {
		c.request.Notes = append(c.request.Notes, text)
	}
}

func (c *channel) begin(kind session.Kind, command string) bool {
	if c.started {
		return false
	}
	c.started = true
	c.request.Kind, c.request.Command = kind, command
	return true
}

// terminal reads a pty-req (RFC 4254 section 6.2).
func (c *channel) terminal(payload []byte) bool {
	var m struct {
		Term                      string
		Cols, Rows, Width, Height uint32
		Modes                     string
	}
	if ssh.Unmarshal(payload, &m) != nil || c.started || c.request.Terminal != nil ||
		len(m.Modes) > maxModes || !isTerm(m.Term) || c.opened.login.Principal.NoPTY {
		return false
	}
	c.request.Terminal = &session.Terminal{Term: m.Term, Size: size(m.Cols, m.Rows), Modes: []byte(m.Modes)}
	return true
}

// isTerm: the name becomes a variable and a file name of terminfo's.
func isTerm(s string) bool {
	return len(s) <= maxTerm && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.+", r)
	})
}

func size(cols, rows uint32) tty.Size {
	const most = 1<<16 - 1
	return tty.Size{Cols: uint16(min(cols, most)), Rows: uint16(min(rows, most))}
}

func (c *channel) variable(payload []byte) bool {
	var m struct{ Name, Value string }
	if ssh.Unmarshal(payload, &m) != nil || c.started || len(c.request.Env) >= maxVariables ||
		len(m.Name)+len(m.Value) > maxVariable || strings.ContainsRune(m.Name+m.Value, 0) {
		return false
	}
	c.request.Env = append(c.request.Env, session.Variable{Name: m.Name, Value: m.Value})
	return true
}

// resize hands the newest size over; one that was not taken yet is dropped.
func (c *channel) resize(to tty.Size) {
	for {
		select {
		case c.resizes <- to:
			return
		default:
		}
		select {
		case <-c.resizes:
		default:
		}
	}
}

// signal hands a signal over unless too many wait.
func (c *channel) signal(name string) bool {
	if len(name) > 32 || !isTerm(name) {
		return false
	}
	select {
	case c.signals <- strings.TrimPrefix(name, "SIG"):
		return true
	default:
		return false
	}
}

// serveForward serves a direct-tcpip channel (RFC 4254 section 7.2).
func (s *Server) serveForward(o opened, ch ssh.NewChannel) {
	var m struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(ch.ExtraData(), &m); err != nil || len(m.Host) > 255 {
		_ = ch.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	requests := make(chan struct{})
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	accepted := false
	err := s.o.Sessions.Forward(ctx, o.login, session.Endpoint{Host: m.Host, Port: m.Port}, func() (session.Stream, error) {
		c, reqs, err := ch.Accept()
		if err != nil {
			return nil, err
		}
		accepted = true
		go func() {
			defer close(requests)
			defer cancel()
			ssh.DiscardRequests(reqs)
		}()
		return c, nil
	})
	var why *session.ForwardError
	switch {
	case accepted:
		<-requests
	case errors.As(err, &why) && why.Prohibited:
		_ = ch.Reject(ssh.Prohibited, why.Text)
	case errors.As(err, &why):
		_ = ch.Reject(ssh.ConnectionFailed, why.Text)
	default:
		_ = ch.Reject(ssh.ConnectionFailed, "it failed")
	}
}

// printable keeps text of others to one line without control characters.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most]
	}
	q := fmt.Sprintf("%+q", s)
	return q[1 : len(q)-1]
}
