package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/target"
)

// Deadlines of the steps of a session.
const (
	factsTimeout = 10 * time.Second // for the agent to tell of the container
	startTimeout = 30 * time.Second // for the process to run
	endTimeout   = 10 * time.Second // for a process to be gone after Close
	goneTimeout  = 2 * time.Second  // for the agent to tell whether a container is gone
	sayTimeout   = 3 * time.Second  // for a client to take a notice
	auditTimeout = 10 * time.Second // for an event to be durable
	denyTime     = 50 * time.Millisecond
)

// run is one session on its way.
type run struct {
	service *Service
	login   Login
	request Request
	client  Client
	id      string
	began   time.Time

	original string // the command that a forced one replaced
	protocol string // of a file transfer
	target   *target.Target
	say1     sync.Mutex // one notice at a time
}

func (r *run) log() *logrus.Entry {
	e := r.service.o.Log.WithFields(logrus.Fields{
		"session": r.id, "account": string(r.login.Principal.Account), "source": r.login.Principal.Source.String(),
	})
	if r.target != nil {
		e = e.WithField("target", place(*r.target))
	}
	return e
}

// serve does the work; an error is why nothing was started.
func (r *run) serve(ctx context.Context) (bridge.Exit, error) {
	access, err := r.service.access(r.login.Principal)
	if err != nil {
		return bridge.Exit{}, err
	}
	addr, err := target.Parse(r.login.User)
	if err != nil {
		return bridge.Exit{}, err
	}
	if forced := r.login.Principal.ForceCommand; forced != "" {
		r.original = r.request.Command
		r.request.Kind, r.request.Command = Exec, forced
	}
	if !addr.HasPod() {
		return r.withoutPod(ctx, access)
	}
	resolved, err := r.service.o.Router.Resolve(access, addr)
	var many *route.Ambiguous
	if errors.As(err, &many) && r.request.Terminal != nil && r.request.Kind != Subsystem {
		title := "Which of these?"
		if many.More {
			title += " There are more: name a namespace"
		}
		return r.pick(ctx, title, many.Candidates)
	}
	if err != nil {
		return bridge.Exit{}, err
	}
	return r.on(ctx, resolved)
}

// access is the account's view of the document in force, if its login would still succeed.
func (s *Service) access(p *auth.Principal) (*auth.Access, error) {
	doc := s.o.Documents.Current()
	if err := stillGood(doc, p); err != nil {
		return nil, &refusal{err: err, code: exitTransport, text: "your access has ended; log in again or ask your administrator"}
	}
	return doc.Access(p.Account, p.Source.Addr())
}

// on runs the request on a target that it may reach.
func (r *run) on(ctx context.Context, resolved route.Resolved) (bridge.Exit, error) {
	r.target = &resolved.Target
	header, isTransfer := r.transfer(resolved.Role)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &live{id: r.id, principal: r.login.Principal, target: resolved.Target, end: cancel, counted: true, notice: r.sayLater, changed: make(chan struct{}, 1)}
	l.role.Store(resolved.Role)
	if isTransfer {
		l.files = &resolved.Role.Files
	}
	if err := r.service.live.enter(l); err != nil {
		return bridge.Exit{}, limitText(err, resolved.Role)
	}
	defer r.service.live.leave(l)
	if isTransfer {
		return r.files(ctx, l, resolved, header)
	}

	factsCtx, stop := context.WithTimeout(ctx, factsTimeout)
	facts, err := r.service.o.Bridge.Facts(factsCtx, r.id, string(r.login.Principal.Account), resolved.Target, resolved.Role.User)
	stop()
	if err != nil {
		return bridge.Exit{}, &refusal{err: err, code: exitTransport, text: "the pod cannot be reached: " + failureText(err)}
	}
	if r.request.Kind == Exec {
		r.request.Command = tildes(r.request.Command, r.login.User, facts.Home)
	}
	argv, shell, err := r.argv(facts)
	if err != nil {
		return bridge.Exit{}, err
	}
	cmds, err := r.commands(ctx, l, facts, shell)
	if err != nil {
		return bridge.Exit{}, err
	}
	argv, env := cmds.start(argv, r.environment(facts, shell, resolved.Role))
	if shell != "" {
		argv = fromHome(argv, facts)
	}
	rec, err := r.record(resolved.Role, shell)
	if err != nil {
		return bridge.Exit{}, err
	}
	started := r.service.begin(r.event(audit.SessionStart)) // the command's event is on its way too: one wait for both
	if err := errors.Join(cmds.settle(), r.remembered(resolved.Role, started())); err != nil {
		rec.discard()
		return bridge.Exit{}, err
	}
	start := bridge.Start{
		Session: r.id, Account: string(r.login.Principal.Account), Target: resolved.Target, User: resolved.Role.User,
		Argv: argv, Env: env, TTY: r.request.Terminal != nil, Size: r.size(), Modes: r.modes(),
	}
	cmds.begin(rec)
	c := &copier{run: r, live: l, recorder: rec, last: newClock(), commands: cmds, start: start}
	return r.execute(ctx, c, func(ctx context.Context) (bridge.Process, error) { return r.service.o.Bridge.Exec(ctx, start) }), nil
}

// remember has the session's start in the audit log.
func (r *run) remember(role *auth.Role) error {
	return r.remembered(role, r.append(r.event(audit.SessionStart)))
}

// remembered judges how that went. When it failed a role that requires recording has no session.
func (r *run) remembered(role *auth.Role, err error) error {
	if err == nil {
		return nil
	}
	if role.Recording == auth.RecordingRequired {
		return &refusal{err: fmt.Errorf("%w: %w", ErrAudit, err), code: exitTransport,
			text: unremembered}
	}
	r.log().WithError(err).Error("a session's start could not be remembered")
	return nil
}

// execute starts and copies, and remembers the end. From here on a session.start event has its session.end.
func (r *run) execute(ctx context.Context, c *copier, start func(context.Context) (bridge.Process, error)) bridge.Exit {
	m, kind := r.service.o.Metrics, string(r.request.Kind)
	m.live.WithLabelValues(kind).Inc()
	m.started.WithLabelValues(kind).Inc()
	defer m.live.WithLabelValues(kind).Dec()
	began := time.Now()
	r.log().WithFields(logrus.Fields{"kind": kind, "tty": r.request.Terminal != nil, "role": c.live.role.Load().Name}).Info("session starts")

	exit, err := c.run1(ctx, start)
	why, reason := "exit", "exit"
	if err != nil {
		why, reason = r.tell(err)
		exit = bridge.Exit{Code: exitTransport}
		if end := (*End)(nil); errors.As(err, &end) {
			exit.Code = end.code()
		}
	} else if exit.Code == exitNotFound && r.request.Kind == Exec && rsyncServer(r.request.Command) {
		r.say(noRsync)
	}
	r.finish(c, exit, reason, time.Since(began))
	m.ended.WithLabelValues(why).Inc()
	m.seconds.Observe(time.Since(began).Seconds())
	return exit
}

// tell tells the client why its session ended, and returns it as metrics and the log name it.
func (r *run) tell(err error) (why, reason string) {
	var end *End
	var refused *refusal
	switch {
	case errors.As(err, &end):
		if end.Text != "" {
			r.say(end.Text)
		}
		why, _, _ = strings.Cut(end.Reason, ":")
		return why, end.Reason
	case errors.As(err, &refused):
		r.say(refused.text)
		return "lost", refused.Error()
	case errors.Is(err, context.Canceled):
		return "client", "client: disconnected"
	}
	r.log().WithError(err).Warn("session lost")
	r.say(lostText(err))
	return "lost", "lost: " + err.Error()
}

// finish closes the recording and remembers the end.
func (r *run) finish(c *copier, exit bridge.Exit, reason string, took time.Duration) {
	closed := c.recorder.close(r)
	in, out := c.in.Load(), c.out.Load()
	e := r.event(audit.SessionEnd)
	e.Exit, e.Signal, e.Reason = &exit.Code, exit.Signal, reason
	e.BytesIn, e.BytesOut, e.Seconds = &in, &out, took.Seconds()
	if err := r.append(e); err != nil {
		r.log().WithError(err).Error("a session's end could not be remembered")
	}
	closed()
	r.log().WithFields(logrus.Fields{
		"exit": exit.Code, "signal": exit.Signal, "reason": reason, "bytesIn": in, "bytesOut": out, "seconds": took.Seconds(),
	}).Info("session ended")
}

// refuse tells the client, and remembers the true reason.
func (r *run) refuse(err error) bridge.Exit {
	no := explain(err, r.login.Principal.Account)
	if wait := denyTime - time.Since(r.began); wait > 0 {
		time.Sleep(wait) // what is not there and what is not permitted take alike long
	}
	e := r.event(audit.SessionReject)
	e.Reason = no.Error()
	if err := r.append(e); err != nil {
		r.log().WithError(err).Error("a refused session could not be remembered")
	}
	why := "start"
	if no.limit {
		why = "limit"
		e := r.event(audit.LimitHit)
		e.Reason = no.Error()
		if err := r.append(e); err != nil {
			r.log().WithError(err).Error("a limit could not be remembered")
		}
	} else if r.target == nil {
		why = "target"
	}
	r.service.o.Metrics.refused.WithLabelValues(why).Inc()
	r.log().WithField("reason", no.Error()).Info("session refused")
	r.say(no.text)
	return bridge.Exit{Code: no.code}
}

func limitText(err error, role *auth.Role) error {
	text := stopping
	switch {
	case errors.Is(err, ErrSessions):
		text = fmt.Sprintf("you have %d sessions open, which is all that your role permits; close one first", role.Limits.Sessions)
	case errors.Is(err, ErrFull):
		text = "the bastion is full; try again later"
	}
	return &refusal{err: err, code: exitTransport, text: text, limit: !errors.Is(err, ErrDraining)}
}

// event begins an event of this session.
func (r *run) event(t audit.Type) audit.Event {
	p := r.login.Principal
	e := audit.Event{
		Type: t, Session: r.id, Account: string(p.Account), Source: p.Source.String(), Address: r.login.User,
		Kind: r.kind(), TTY: r.request.Terminal != nil,
	}
	if r.request.Kind != Shell {
		e.Line = r.request.Command
	}
	if t := r.target; t != nil {
		e.Target = auditTarget(*t)
	}
	return e
}

func auditTarget(t target.Target) *audit.Target {
	return &audit.Target{
		Cluster: string(t.Cluster), Namespace: string(t.Namespace), Pod: t.Pod, UID: string(t.UID),
		Container: t.Container, Node: string(t.Node),
	}
}

func (r *run) append(e audit.Event) error { return r.service.append(e) }

func (s *Service) append(e audit.Event) error { return s.begin(e)() }

// begin hands an event to the audit log. What it returns waits until it is durable, and is to be called.
func (s *Service) begin(e audit.Event) (wait func() error) {
	ctx, cancel := context.WithTimeout(context.Background(), auditTimeout) // also when the client is gone
	durable := audit.Begin(ctx, s.o.Audit, e)
	return func() error {
		defer cancel()
		return durable()
	}
}

// say writes a notice to the client's standard error, as long as it takes it.
func (r *run) say(text string) {
	done := make(chan struct{})
	go func() { // ends with the connection at the latest
		defer close(done)
		r.write(text)
	}()
	timer := time.NewTimer(sayTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		r.client.Abort()
	}
}

// sayLater does not wait.
func (r *run) sayLater(text string) { go r.write(text) }

func (r *run) write(text string) {
	newline := "\n"
	if r.request.Terminal != nil {
		newline = "\r\n"
	}
	var b strings.Builder
	if r.request.Terminal != nil {
		b.WriteString(newline)
	}
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString("bastion: " + line + newline)
	}
	r.say1.Lock()
	defer r.say1.Unlock()
	_, _ = r.client.Stderr.Write([]byte(b.String())) // a client that is gone needs no notice
}
