package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/target"
)

// Endpoint is where a client wants a connection to go, as it sent it.
type Endpoint struct {
	Host string
	Port uint32
}

// Stream is a connection that can be closed half.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// ForwardError is why a connection was not made. Text is for the client; the error is for the log.
type ForwardError struct {
	Err        error
	Text       string
	Prohibited bool // else it was tried and failed
}

func (e *ForwardError) Error() string { return e.Err.Error() }
func (e *ForwardError) Unwrap() error { return e.Err }

// Reasons why a forward is not permitted.
var (
	ErrForwardOff  = errors.New("session: the credential does not permit forwarding")
	ErrForwardHost = errors.New("session: the host is not the pod of the address")
	ErrForwardPort = errors.New("session: the role does not permit the port")
)

const forwardKind = "forward"

// Forward connects a client to a port of the pod that its address names. Once the far end is connected, accept takes
// the client's channel. An error before that is a *ForwardError.
func (s *Service) Forward(ctx context.Context, login Login, to Endpoint, accept func() (Stream, error)) error {
	f := &forward{run: &run{service: s, login: login, id: newID(), began: time.Now(), request: Request{Kind: forwardKind}}, to: to}
	resolved, err := f.permit()
	if err != nil {
		return f.refuse(err)
	}
	f.run.target = &resolved.Target
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &live{id: f.run.id, principal: login.Principal, target: resolved.Target, end: cancel, notice: func(string) {}, changed: make(chan struct{}, 1)}
	l.role.Store(resolved.Role)
	if err := s.live.enter(l); err != nil {
		return f.refuse(limitText(err, resolved.Role))
	}
	defer s.live.leave(l)
	go l.holdDuration(ctx)
	open := f.event(audit.ForwardOpen)
	if err := s.append(open); err != nil {
		return f.refuse(&refusal{err: fmt.Errorf("%w: %w", ErrAudit, err), text: "the connection cannot be remembered"})
	}
	began := time.Now()
	dialCtx, stop := context.WithTimeout(ctx, startTimeout)
	conn, err := s.o.Bridge.Forward(dialCtx, f.run.id, string(login.Principal.Account), resolved.Target, uint16(to.Port))
	stop()
	far, ok := conn.(Stream)
	if err == nil && !ok {
		err = errors.New("session: the bridge's connection cannot be closed half")
	}
	if err != nil {
		f.close(began, "not connected: "+err.Error())
		return &ForwardError{Err: err, Text: fmt.Sprintf("port %d of the pod: %s", to.Port, failureText(err))}
	}
	defer func() { _ = far.Close() }()
	near, err := accept()
	if err != nil {
		f.close(began, "client: "+err.Error())
		return &ForwardError{Err: err, Text: "the channel could not be opened"}
	}
	f.close(began, f.copy(ctx, near, far))
	return nil
}

// holdDuration ends what has lasted as long as its role permits, the newest role. It ends with the context.
func (l *live) holdDuration(ctx context.Context) {
	began := time.Now()
	for {
		var over <-chan time.Time
		if d := l.role.Load().Limits.Duration; d > 0 {
			over = time.After(time.Until(began.Add(d)))
		}
		select {
		case <-over:
			l.end(&End{Reason: "limit: duration"})
			return
		case <-l.changed:
		case <-ctx.Done():
			return
		}
	}
}

// forward is one connection on its way.
type forward struct {
	run     *run
	to      Endpoint
	in, out atomic.Int64
}

// permit finds the target and says whether the client may connect there.
func (f *forward) permit() (route.Resolved, error) {
	var none route.Resolved
	p, s := f.run.login.Principal, f.run.service
	if p.NoForward {
		return none, &refusal{err: ErrForwardOff, text: "your key or certificate does not permit forwarding"}
	}
	access, err := s.access(p)
	if err != nil {
		return none, err
	}
	addr, err := target.Parse(f.run.login.User)
	if err != nil {
		return none, err
	}
	if !addr.HasPod() {
		return none, &refusal{err: errors.New("session: the address names no pod"), text: "the address names no pod to connect to"}
	}
	resolved, err := s.o.Router.Resolve(access, addr)
	if err != nil {
		return none, err
	}
	f.run.target = &resolved.Target
	if !isPod(f.to.Host, resolved) {
		return none, &refusal{err: ErrForwardHost,
			text: "only ports of the pod can be reached: use localhost, or the name or IP of the pod, as the host"}
	}
	if f.to.Port < 1 || f.to.Port > 65535 || !resolved.Role.Forward.Allows(uint16(f.to.Port)) {
		return none, &refusal{err: ErrForwardPort, text: fmt.Sprintf("your role does not permit port %d of this pod", f.to.Port)}
	}
	return resolved, nil
}

// isPod says whether a host that a client names is the pod itself.
func isPod(host string, r route.Resolved) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || host == r.Target.Pod {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	if ip.IsLoopback() {
		return true
	}
	return r.Pod != nil && slices.ContainsFunc(r.Pod.IPs, func(s string) bool {
		have, err := netip.ParseAddr(s)
		return err == nil && have.Unmap() == ip
	})
}

func (f *forward) event(t audit.Type) audit.Event {
	e := f.run.event(t)
	e.Line, e.Kind, e.Port = "", forwardKind, int(f.to.Port)
	return e
}

// refuse remembers the true reason and returns what the client may know.
func (f *forward) refuse(err error) error {
	no := explain(err, f.run.login.Principal.Account)
	e := f.event(audit.ForwardClose)
	e.Reason, e.Outcome = no.Error(), "refused"
	if host := f.to.Host; host != "" {
		e.Path = host
	}
	if err := f.run.append(e); err != nil {
		f.run.log().WithError(err).Error("a refused forward could not be remembered")
	}
	if no.limit {
		e := f.event(audit.LimitHit)
		e.Reason = no.Error()
		if err := f.run.append(e); err != nil {
			f.run.log().WithError(err).Error("a limit could not be remembered")
		}
	}
	f.run.log().WithField("reason", no.Error()).Info("forward refused")
	f.run.service.o.Metrics.refused.WithLabelValues(forwardKind).Inc()
	return &ForwardError{Err: no, Text: no.text, Prohibited: true}
}

func (f *forward) close(began time.Time, reason string) {
	in, out := f.in.Load(), f.out.Load()
	e := f.event(audit.ForwardClose)
	e.Reason, e.BytesIn, e.BytesOut, e.Seconds = reason, &in, &out, time.Since(began).Seconds()
	if err := f.run.append(e); err != nil {
		f.run.log().WithError(err).Error("a forward's end could not be remembered")
	}
}

// copy moves bytes both ways until both ends are done, and says why it ended.
func (f *forward) copy(ctx context.Context, near, far Stream) string {
	m := f.run.service.o.Metrics
	m.started.WithLabelValues(forwardKind).Inc()
	m.live.WithLabelValues(forwardKind).Inc()
	defer m.live.WithLabelValues(forwardKind).Dec()
	one := func(dst, src Stream, n *atomic.Int64, direction string) error {
		err := pump(func(b []byte) error {
			w, err := dst.Write(b)
			n.Add(int64(w))
			m.bytes.WithLabelValues(direction).Add(float64(w))
			return err
		}, src)
		return errors.Join(err, ignoreClosed(dst.CloseWrite()))
	}
	done := make(chan error, 2)
	go func() { done <- one(far, near, &f.in, "in") }()
	go func() { done <- one(near, far, &f.out, "out") }()
	reason := "closed"
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				reason = "broken: " + err.Error()
				_, _ = near.Close(), far.Close() // one direction broke: so has the connection
			}
		case <-ctx.Done():
			reason = "client: disconnected"
			if end := (*End)(nil); errors.As(context.Cause(ctx), &end) {
				reason = end.Reason
			}
			_, _ = near.Close(), far.Close()
			return reason
		}
	}
	_ = near.Close()
	return reason
}

// ignoreClosed: closing the writing half of a connection that is closed already is no failure.
func ignoreClosed(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
