package session

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/podbastion/podbastion/shellparse/syntax"
)

// exitDenied is the status of a command that the rules refuse; shells say it of a program that may not be executed.
const exitDenied = 126

// witnessExec names the client's own request as what is known of a command.
const witnessExec = "exec"

// Node tells what only the node knows; *bridge.Bridge does.
type Node interface {
	Terminal(ctx context.Context, s bridge.Start) (bridge.TerminalConn, error)
	Stat(ctx context.Context, session, account string, t target.Target, name string) (bridge.File, error)
}

// denied is a command that the rules refuse.
type denied struct{ verdict guard.Verdict }

func (d *denied) Error() string { return "session: denied: " + d.text() }

func (d *denied) text() string {
	text := "denied"
	if d.verdict.Rule != "" {
		text += " by rule " + d.verdict.Rule
	}
	switch {
	case d.verdict.Message != "":
		text += ": " + d.verdict.Message
	case d.verdict.Reason != "":
		text += ": " + d.verdict.Reason
	}
	return text
}

// policies keeps roles' rules ready to decide.
type policies struct {
	mu sync.Mutex
	of map[*auth.Role]*policy.Policy
}

// maxPolicies bounds what documents that are not in force any more leave behind.
const maxPolicies = 1024

func (p *policies) get(role *auth.Role) *policy.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ready, ok := p.of[role]; ok {
		return ready
	}
	if p.of == nil || len(p.of) >= maxPolicies {
		p.of = map[*auth.Role]*policy.Policy{}
	}
	ready := policy.Compile(&role.Commands)
	p.of[role] = ready
	return ready
}

// commands is how one session's commands are judged and remembered.
type commands struct {
	run      *run
	live     *live
	recorder *recorder
	judge    *guard.Judge
	shell    string // name of the shell that reads them
}

func (r *run) commands(l *live, rec *recorder, f bridge.Facts, shell string) *commands {
	c := &commands{run: r, live: l, recorder: rec}
	if shell != "" {
		c.shell = path.Base(shell)
	}
	c.judge = &guard.Judge{Home: f.Home, Rules: func() *policy.Policy { return r.service.policies.get(l.role.Load()) }, Size: c.size}
	return c
}

// size tells a file's size as the rules ask for it.
func (c *commands) size(ctx context.Context, name string) int64 {
	node := c.run.service.o.Node
	if node == nil {
		return policy.Unknown
	}
	f, err := node.Stat(ctx, c.run.id, string(c.live.principal.Account), c.live.target, name)
	switch {
	case err != nil:
		c.run.log().WithError(err).Debug("the size of a file is not known")
		return policy.Unknown
	case !f.Exists:
		return policy.Missing
	case f.Kind == "file":
		return f.Size
	case f.Kind == "directory":
		return 0
	}
	return policy.Unknown
}

// admit judges what was asked for, once, before anything runs. What a shell without a terminal will be given to do is
// not known then, and is judged as that.
func (c *commands) admit(ctx context.Context) error {
	q := c.run.request
	var cmd guard.Command
	var v guard.Verdict
	switch {
	case q.Kind == Exec:
		cmd = guard.Command{Line: q.Command, Sure: true, Witness: witnessExec}
		v = c.judge.Exec(ctx, q.Command, c.shell)
	case q.Terminal == nil:
		cmd = guard.Command{Unseen: true, Witness: witnessExec, Shell: c.shell}
		v = c.judge.Decide(ctx, cmd)
		if v.Action == auth.Deny {
			v.Message = "what a shell without a terminal reads cannot be judged: use ssh -t, or name the command"
		}
	default:
		return nil
	}
	if err := c.record(ctx, cmd, v); err != nil {
		return &End{Reason: "audit: " + err.Error(), Text: "the command cannot be remembered, which your role requires"}
	}
	switch {
	case v.Action == auth.Deny:
		return &denied{v}
	case v.Action == auth.Warn && (v.Rule != "" || v.Message != ""):
		c.run.say("warning" + strings.TrimPrefix((&denied{v}).text(), "denied"))
	}
	return nil
}

// record makes a command and its verdict durable before the command runs. Only where the role requires it does a log
// that takes nothing stop the command.
func (c *commands) record(_ context.Context, cmd guard.Command, v guard.Verdict) error {
	if v.Incomplete && v.Action != auth.Deny {
		return nil // the shell asks for the rest of it first
	}
	e := c.run.event(audit.Command)
	e.Line, e.Directory = cmd.Before+cmd.Line, cmd.Directory
	e.Verdict, e.Rule, e.Witness, e.Confidence = string(v.Action), v.Rule, string(cmd.Witness), "low"
	if cmd.Sure && v.Sure {
		e.Confidence = "high"
	}
	if e.Reason = v.Reason; cmd.Unseen && e.Reason == "" {
		e.Reason = "the line could not be seen"
	}
	c.run.service.o.Metrics.commands.WithLabelValues(e.Verdict, e.Witness).Inc()
	c.recorder.mark(string(v.Action) + ": " + e.Line)
	if err := c.run.append(e); err != nil {
		c.run.log().WithError(err).Error("a command could not be remembered")
		if c.recorder.required {
			return err
		}
	}
	c.judge.Ran(v)
	return nil
}

// guard stands between the keys and the shell of a session with a terminal.
func (c *commands) guard(p bridge.Process, screen *screen, start bridge.Start, hook *gate.Gate) (*guard.Guard, *nodeTerminal) {
	o := guard.Options{
		Size: start.Size, Target: p.Stdin(), Client: screen, Decide: c.judge.Decide, Record: c.record, Gate: hook,
	}
	if c.run.request.Kind == Shell {
		o.Shell = c.shell
	}
	var node *nodeTerminal
	if c.run.service.o.Node != nil {
		node = &nodeTerminal{node: c.run.service.o.Node, start: start, exec: c.run.request.Kind == Exec}
		o.Terminal = node
	}
	return guard.New(o), node
}

// nodeTerminal asks the node about the session's terminal, over a connection that is made when it is first needed.
type nodeTerminal struct {
	node  Node
	start bridge.Start
	exec  bool // a command was executed, not a shell

	mu     sync.Mutex // guards below, and one question at a time
	conn   bridge.TerminalConn
	closed bool
}

const terminalTimeout = 2 * time.Second

// State implements guard.Terminal.
func (n *nodeTerminal) State(ctx context.Context) (guard.State, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return guard.State{}, errors.New("session: the terminal is closed")
	}
	ctx, cancel := context.WithTimeout(ctx, terminalTimeout)
	defer cancel()
	if n.conn == nil {
		conn, err := n.node.Terminal(ctx, n.start)
		if err != nil {
			return guard.State{}, fmt.Errorf("session: %w", err)
		}
		n.conn = conn
	}
	st, err := n.conn.State(ctx)
	if err != nil {
		_ = n.conn.Close() // of no more use
		n.conn = nil
		return guard.State{}, fmt.Errorf("session: %w", err)
	}
	s := guard.State{
		Echo: st.Echo, Canonical: st.Canonical, Own: st.ShellForeground && !st.Nested, Shell: st.ShellForeground && !st.Scripted,
		Program: st.Command, Directory: st.Directory, Reading: st.Reading, Unread: st.UnreadInput,
	}
	if n.exec { // the session has no shell of its own, but what was executed can be one
		_, isShell := syntax.DialectOf(st.Command)
		s.Own, s.Shell = false, s.Shell && isShell
	}
	return s, nil
}

func (n *nodeTerminal) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.conn != nil {
		_ = n.conn.Close() // nothing is asked any more
		n.conn = nil
	}
}
