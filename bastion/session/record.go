package session

import (
	"fmt"
	"sync"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/audit/cast"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/internal/tty"
)

// Recording is one session's recording being made; *cast.Recorder is one.
type Recording interface {
	Output(p []byte) error
	Errors(p []byte) error
	Resize(size tty.Size) error
	Marker(label string) error
	Close() (cast.Summary, error)
}

// Recordings begins recordings.
type Recordings interface {
	Create(session string, h cast.Header) (Recording, error)
}

// recorder is a session's recording, or none, and what to do when it fails.
type recorder struct {
	required bool
	run      *run

	mu     sync.Mutex // guards below: a session without a terminal has two outputs
	to     Recording  // nil: none, or it failed
	failed bool
}

// record begins the recording that the role asks for. Without one, a role that requires it has no session.
func (r *run) record(role *auth.Role, shell string) (*recorder, error) {
	rec := &recorder{run: r, required: role.Recording == auth.RecordingRequired}
	if role.Recording == auth.RecordingOff {
		return rec, nil
	}
	h := cast.Header{Time: r.began, Shell: shell, Title: string(r.login.Principal.Account) + "+" + place(*r.target), Plain: r.request.Terminal == nil}
	if r.request.Kind != Shell {
		h.Title += ": " + printable(r.request.Command)
	}
	if t := r.request.Terminal; t != nil {
		h.Term, h.Size = t.Term, t.Size
	}
	var err error
	if r.service.o.Recordings == nil {
		err = ErrRecording
	} else {
		rec.to, err = r.service.o.Recordings.Create(r.id, h)
	}
	if err == nil {
		return rec, nil
	}
	rec.to = nil
	if rec.required {
		return nil, &refusal{err: fmt.Errorf("%w: %w", ErrRecording, err), code: exitTransport,
			text: "the session cannot be recorded as your role requires; try again later or tell your administrator"}
	}
	r.log().WithError(err).Error("session is not recorded")
	return rec, nil
}

// output records what goes to the client, before it goes. Its error ends the session.
func (r *recorder) output(p []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to == nil {
		return r.broken()
	}
	return r.check(r.to.Output(p))
}

// errors records what goes to the client's standard error.
func (r *recorder) errors(p []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to == nil {
		return r.broken()
	}
	return r.check(r.to.Errors(p))
}

func (r *recorder) resize(size tty.Size) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to != nil {
		_ = r.check(r.to.Resize(size)) // the next output tells
	}
}

// marker marks a command.
func (r *recorder) marker(label string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to != nil {
		_ = r.check(r.to.Marker(label)) // the next output tells
	}
}

// check is called with the lock held.
func (r *recorder) check(err error) error {
	if err == nil || r.failed {
		return r.broken()
	}
	r.failed = true
	r.run.log().WithError(err).Error("recording failed")
	return r.broken()
}

func (r *recorder) broken() error {
	if r.failed && r.required {
		return &End{Reason: "recording: it failed", Text: "the session cannot be recorded any more, which your role requires"}
	}
	return nil
}

// close closes the recording and has it remembered. The result waits for that.
func (r *recorder) close(run *run) (wait func()) {
	r.mu.Lock()
	to := r.to
	r.to = nil
	r.mu.Unlock()
	if to == nil {
		return func() {}
	}
	sum, err := to.Close()
	e := run.event(audit.RecordingClose)
	e.Line, e.Path, e.Bytes, e.SHA256 = "", sum.Path, &sum.Bytes, sum.SHA256
	if err != nil {
		e.Outcome = err.Error()
		run.log().WithError(err).Error("recording could not be closed")
	}
	durable := run.service.begin(e)
	return func() {
		if err := durable(); err != nil {
			run.log().WithError(err).Error("a recording's end could not be remembered")
		}
	}
}

// discard closes a recording of a session that did not start.
func (r *recorder) discard() {
	if r.to != nil {
		_, _ = r.to.Close() // nothing was recorded
	}
}
