package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/guard"
	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/shellparse/keyfile"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// exitDenied is what a shell answers for a program that may not be run.
const exitDenied = 126

const (
	statTimeout = 2 * time.Second // for a file's size
	flushTime   = 5 * time.Second // for held keys after the client's end of input
)

// Node tells what the node knows of a session's terminal and of files; *bridge.Bridge is one.
type Node interface {
	Terminal(ctx context.Context, s bridge.Start) (bridge.TerminalConn, error)
	Stat(ctx context.Context, session, account string, t target.Target, name string) (bridge.File, error)
}

// commands holds the role's command rules over one session.
type commands struct {
	run   *run
	live  *live
	judge *guard.Judge
	gate  *gate.Gate
	shell string // that reads commands; empty for a program that is none
	exec  *audit.Event
	told  func() error // waits for the event of exec; nil for none

	recorder *recorder
}

// commands prepares the rules, and judges an exec request before anything runs.
func (r *run) commands(ctx context.Context, l *live, f bridge.Facts, shell string) (*commands, error) {
	c := &commands{run: r, live: l}
	c.judge = &guard.Judge{Rules: c.inForce, Home: f.Home}
	if r.service.o.Node != nil {
		c.judge.Size = c.size
	}
	if r.request.Kind == Shell {
		c.shell = path.Base(shell)
		if r.request.Terminal != nil {
			c.gate, _ = gate.New(shell)
		}
		return c, nil
	}
	v := c.judge.Exec(ctx, r.request.Command, shell)
	e := c.event(guard.Command{Line: r.request.Command, Witness: guard.Exec, Sure: v.Sure}, v)
	c.exec, c.told = &e, c.begun(e)
	if v.Action == auth.Deny {
		if err := c.settle(); err != nil {
			return nil, err
		}
		denied := &guard.Denied{Verdict: v}
		return nil, &refusal{err: fmt.Errorf("%w: %w", ErrCommand, denied), code: exitDenied, text: denied.Text()}
	}
	if v.Action == auth.Warn {
		r.say(guard.Warning(v))
	}
	if v.StartsShell {
		c.shell = v.Shell // the node tells more, where there is a terminal
	}
	return c, nil
}

// inForce is the policy of the role as it is now.
func (c *commands) inForce() *policy.Policy { return c.run.service.policies.of(c.live.role.Load()) }

// policies keeps roles' rules ready to decide, for all sessions under a role together.
type policies struct {
	mu    sync.Mutex
	ready map[*auth.Role]*policy.Policy // guarded by mu
}

// maxPolicies bounds what documents that are not in force any more leave behind.
const maxPolicies = 1024

func (p *policies) of(role *auth.Role) *policy.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ready, ok := p.ready[role]; ok {
		return ready
	}
	if p.ready == nil || len(p.ready) >= maxPolicies {
		p.ready = map[*auth.Role]*policy.Policy{}
	}
	ready := policy.Compile(&role.Commands)
	p.ready[role] = ready
	return ready
}

// size asks the node for a file's size.
func (c *commands) size(ctx context.Context, file string) int64 {
	ctx, cancel := context.WithTimeout(ctx, statTimeout)
	defer cancel()
	f, err := c.run.service.o.Node.Stat(ctx, c.run.id, string(c.live.principal.Account), c.live.target, file)
	switch {
	case err != nil:
		return policy.Unknown
	case !f.Exists:
		return policy.Missing
	}
	return f.Size
}

// event is the audit form of a command and its verdict.
func (c *commands) event(cmd guard.Command, v guard.Verdict) audit.Event {
	e := c.run.event(audit.Command)
	e.Line, e.Verdict, e.Rule, e.Witness = cmd.Before+cmd.Line, string(v.Action), v.Rule, string(cmd.Witness)
	e.Directory, e.Confidence = cmd.Directory, "low"
	if cmd.Sure && v.Sure {
		e.Confidence = "high"
	}
	if v.Action != auth.Allow {
		e.Reason = v.Reason
	}
	return e
}

// record has a command remembered, in the log and as a marker in the recording. What it defines counts from then on.
func (c *commands) record(_ context.Context, cmd guard.Command, v guard.Verdict) error {
	if err := c.remember(c.event(cmd, v)); err != nil {
		return err
	}
	c.recorder.marker(label(cmd.Before+cmd.Line, v.Action))
	c.judge.Ran(v)
	return nil
}

// remember has a command's event durable before the command is released. As with the start of a session, only a role
// that requires a recording stands still when that is not possible.
func (c *commands) remember(e audit.Event) error { return c.begun(e)() }

// begun does so in two steps: what it returns waits.
func (c *commands) begun(e audit.Event) (wait func() error) {
	c.run.service.o.Metrics.commands.WithLabelValues(e.Verdict, e.Witness).Inc()
	durable := c.run.service.begin(e)
	return func() error { return c.judged(durable()) }
}

// settle waits until the event of an exec request is durable.
func (c *commands) settle() error {
	if c.told == nil {
		return nil
	}
	if err := c.told(); err != nil {
		return &refusal{err: fmt.Errorf("%w: %w", ErrAudit, err), code: exitTransport, text: unremembered}
	}
	return nil
}

func (c *commands) judged(err error) error {
	if err == nil || c.live.role.Load().Recording == auth.RecordingRequired {
		return err
	}
	c.run.log().WithError(err).Error("a command could not be remembered; the role does not require it")
	return nil
}

// begin joins the recording, whose first marker is an exec request's.
func (c *commands) begin(rec *recorder) {
	c.recorder = rec
	if c.exec != nil {
		rec.marker(label(c.exec.Line, auth.Action(c.exec.Verdict)))
	}
}

func label(line string, action auth.Action) string {
	if action == auth.Allow {
		return line
	}
	return string(action) + ": " + line
}

// start is what is run for an interactive shell whose gate goes with it.
func (c *commands) start(argv, env []string) ([]string, []string) {
	if c.gate == nil {
		return argv, env
	}
	return c.gate.Argv(), append(env, c.gate.Env()...)
}

// guard stands between a terminal's keys and the process.
func (c *commands) guard(start bridge.Start, keys, screen io.Writer, statuses chan<- audit.Event) (*guard.Guard, func()) {
	o := guard.Options{
		Size: start.Size, Target: keys, Client: screen, Decide: c.judge.Decide, Record: c.record, Gate: c.gate, Shell: c.shell,
		Finished: func(cmd guard.Command, status int) {
			e := c.run.event(audit.CommandEnd)
			e.Line, e.Exit = cmd.Before+cmd.Line, &status
			select {
			case statuses <- e:
			default: // they come faster than they can be remembered
			}
		},
	}
	stop := func() {}
	if node := c.run.service.o.Node; node != nil {
		t := &terminal{node: node, start: start, shell: c.shell}
		o.Terminal, stop = t, t.close
	}
	return guard.New(o), stop
}

// terminal asks the node, over a connection that is made when it is first needed.
type terminal struct {
	node  Node
	start bridge.Start
	shell string

	mu     sync.Mutex
	conn   bridge.TerminalConn
	failed time.Time
	closed bool
	reads  string // the shell whose files were told last, and what they bind
	bound  []keyfile.Binding
}

var errTerminal = errors.New("session: the node does not tell of the terminal")

// State implements guard.Terminal.
func (t *terminal) State(ctx context.Context) (guard.State, error) {
	conn, err := t.connect(ctx)
	if err != nil {
		return guard.State{}, err
	}
	s, err := conn.State(ctx)
	if err != nil {
		if ctx.Err() == nil {
			t.drop(conn)
		}
		return guard.State{}, err
	}
	_, isShell := syntax.DialectOf(s.Command)
	return guard.State{
		Echo: s.Echo, Canonical: s.Canonical, Own: s.ShellForeground && !s.Nested && t.shell != "" && (isShell || s.Command == t.shell),
		Shell: (s.Nested || t.shell == "" && isShell) && !s.Scripted, Program: s.Command, Busybox: s.Busybox, Directory: s.Directory, Reading: s.Reading, Unread: s.UnreadInput, Unsure: s.Unsure,
	}, nil
}

// Alone implements guard.Terminal.
func (t *terminal) Alone(ctx context.Context) (bool, error) {
	conn, err := t.connect(ctx)
	if err != nil {
		return false, err
	}
	alone, err := conn.Alone(ctx)
	if err != nil && ctx.Err() == nil {
		t.drop(conn)
	}
	return alone, err
}

// Keys implements guard.Terminal.
func (t *terminal) Keys(ctx context.Context) (shell string, bound []keyfile.Binding, err error) {
	conn, err := t.connect(ctx)
	if err != nil {
		return "", nil, err
	}
	files, err := conn.Files(ctx)
	if err != nil {
		t.drop(conn) // it may have told what nobody waited for, and would not tell it again
		return "", nil, err
	}
	if files.Command == "" && !files.Same {
		return "", nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !files.Same {
		var read []keyfile.File
		for _, f := range files.Files {
			read = append(read, keyfile.File{Text: f.Text, Readline: f.Keys})
		}
		t.reads, t.bound = files.Command, keyfile.Read(files.Command, read)
	}
	return t.reads, t.bound, nil
}

func (t *terminal) connect(ctx context.Context) (bridge.TerminalConn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		return t.conn, nil
	}
	if t.closed || time.Since(t.failed) < time.Second {
		return nil, errTerminal
	}
	conn, err := t.node.Terminal(ctx, t.start)
	if err != nil {
		t.failed = time.Now()
		return nil, err
	}
	t.conn = conn
	return conn, nil
}

func (t *terminal) drop(conn bridge.TerminalConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == conn {
		t.conn = nil
	}
	_ = conn.Close()
}

func (t *terminal) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.conn != nil {
		_ = t.conn.Close()
		t.conn = nil
	}
}

// guardEnd is why a guard ended a session, or nil when it merely ended with it.
func guardEnd(err error) error {
	var denied *guard.Denied
	switch {
	case errors.As(err, &denied):
		return &End{Reason: "guard: " + strings.TrimPrefix(denied.Error(), "guard: "), Text: denied.Text(), Code: exitDenied}
	case errors.Is(err, guard.ErrNotCleared):
		return &End{Reason: "guard: a denied line could not be cleared", Text: "a denied line could not be cleared, so the session ends"}
	}
	return nil
}
