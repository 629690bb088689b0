package session

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/internal/filewire"
)

const (
	maxEventLine = 128 << 10
	maxAppends   = 64 // events of finished transfers on their way into the log at once
	maxOpen      = 4096
)

// transfer says what files are to be served how, when that is what the client asked for.
func (r *run) transfer(role *auth.Role) (filewire.Header, bool) {
	var h filewire.Header
	switch {
	case r.request.Terminal != nil:
		return h, false
	case r.request.Kind == Subsystem && r.request.Command == filewire.SFTP:
		h.Protocol = filewire.SFTP
	case r.request.Kind == Exec:
		var ok bool
		if h, ok = Recognise(r.request.Command); !ok {
			return h, false
		}
	default:
		return h, false
	}
	h.Rules = fileRules(role.Files)
	r.protocol = h.Protocol
	return h, true
}

// kind names the session in events.
func (r *run) kind() string {
	if r.protocol != "" {
		return r.protocol
	}
	return string(r.request.Kind)
}

// files serves a transfer. There is no recording: what is to be remembered of it is its events.
func (r *run) files(ctx context.Context, l *live, resolved route.Resolved, h filewire.Header) (bridge.Exit, error) {
	if r.service.o.Files == nil {
		return bridge.Exit{}, &refusal{err: ErrSubsystem, code: exitTransport, text: "the bastion has no such subsystem"}
	}
	f := resolved.Role.Files
	if len(f.Upload)+len(f.Download)+len(f.Remove)+len(f.Rename)+len(f.Mkdir)+len(f.Chmod) == 0 {
		return bridge.Exit{}, &refusal{err: ErrFiles, code: exitTransport, text: "your role does not permit to copy files"}
	}
	if err := r.remember(resolved.Role); err != nil {
		return bridge.Exit{}, err
	}
	h.Secret = rand.Text()
	start := bridge.FilesStart{
		Session: r.id, Account: string(r.login.Principal.Account), Target: resolved.Target, User: resolved.Role.User, Header: h,
	}
	c := &copier{run: r, live: l, recorder: &recorder{run: r}, last: newClock(), secret: h.Secret}
	required := resolved.Role.Recording == auth.RecordingRequired
	c.events = func(src io.Reader) error { return r.fileEvents(src, required) }
	return r.execute(ctx, c, func(ctx context.Context) (bridge.Process, error) { return r.service.o.Files.Files(ctx, start) }), nil
}

// fileEvents writes what an agent tells into the audit log. Transfers that are over may overtake one another there;
// everything else keeps its place. What was begun and is not told of to its end was cut off. An error ends the session.
func (r *run) fileEvents(src io.Reader, required bool) error {
	log := &eventLog{run: r, slots: make(chan struct{}, maxAppends), failed: make(chan error, 1)}
	open := map[uint64]begun{}
	err := r.follow(src, log, open, required)
	for id, e := range open {
		log.later(filewire.Event{
			Type: e.Kind, ID: id, Path: e.Path, Outcome: filewire.Partial, Reason: "the transfer was cut off", Seconds: time.Since(e.at).Seconds(),
		})
	}
	log.pending.Wait()
	if err == nil {
		err = log.err(required)
	}
	return err
}

// begun is a transfer that is on its way since it was announced.
type begun struct {
	filewire.Event
	at time.Time
}

// follow takes the agent's events until there are no more. What is open then is left in open.
func (r *run) follow(src io.Reader, log *eventLog, open map[uint64]begun, required bool) error {
	unknown := &End{Reason: "lost: the agent's events are not understood", Text: "the connection to the pod was lost: its agent is not understood"}
	lines := bufio.NewScanner(src)
	lines.Buffer(make([]byte, 4<<10), maxEventLine)
	for lines.Scan() {
		var e filewire.Event
		good := json.Unmarshal(lines.Bytes(), &e) == nil && len(open) <= maxOpen
		if !good && lines.Err() != nil {
			break // half a line, because the connection broke
		}
		if !good {
			return unknown
		}
		delete(open, e.ID)
		switch {
		case e.Type == filewire.Open:
			open[e.ID] = begun{e, time.Now()}
		case e.Type == filewire.Notice:
			r.say(printable(e.Reason))
		case e.ID != 0:
			log.later(e)
		default:
			log.now(e)
		}
		if err := log.err(required); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) { // any other end is told by the process
		return unknown
	}
	return nil
}

// eventLog appends events to the audit log.
type eventLog struct {
	run     *run
	pending sync.WaitGroup
	slots   chan struct{}
	failed  chan error
}

// later does not wait until the event is durable.
func (l *eventLog) later(e filewire.Event) {
	l.slots <- struct{}{}
	l.pending.Go(func() {
		defer func() { <-l.slots }()
		l.append(e)
	})
}

// now has the event durable, behind those before it.
func (l *eventLog) now(e filewire.Event) {
	l.pending.Wait()
	l.append(e)
}

func (l *eventLog) append(e filewire.Event) {
	if err := l.run.append(l.run.fileEvent(e)); err != nil {
		select {
		case l.failed <- err:
		default:
		}
	}
}

// err tells that an event could not be remembered: an error only where that is required.
func (l *eventLog) err(required bool) error {
	select {
	case err := <-l.failed:
		l.run.log().WithError(err).Error("a file event could not be remembered")
		if required {
			return &End{Reason: "audit: " + err.Error(), Text: "what you do cannot be remembered any more, which your role requires"}
		}
	default:
	}
	return nil
}

// fileEvent is the audit log's form of an agent's event.
func (r *run) fileEvent(e filewire.Event) audit.Event {
	out := r.event(audit.Type(e.Type))
	out.Line = ""
	switch out.Type {
	case audit.FileRead, audit.FileWrite, audit.FileRemove, audit.FileRename, audit.FileMkdir, audit.FileSetstat, audit.FileLink:
	default: // not for an agent to say
		out.Type, out.Reason = audit.FileRead, fmt.Sprintf("the agent says %q", e.Type)
	}
	out.Path, out.NewPath, out.Bytes, out.SHA256 = e.Path, e.NewPath, e.Bytes, e.SHA256
	out.Seconds, out.Outcome = e.Seconds, e.Outcome
	if e.Reason != "" {
		out.Reason = e.Reason
	}
	return out
}

// fileRules writes a role's rules as an agent takes them.
func fileRules(f auth.Files) filewire.Rules {
	list := func(rules []auth.FileRule) []filewire.Rule {
		var out []filewire.Rule
		for _, rule := range rules {
			var w filewire.Rule
			for _, g := range rule.Paths {
				w.Paths = append(w.Paths, g.String())
			}
			if size := rule.MaxSize; size >= 0 {
				w.MaxSize = &size
			}
			out = append(out, w)
		}
		return out
	}
	return filewire.Rules{
		Upload: list(f.Upload), Download: list(f.Download), Remove: list(f.Remove),
		Rename: list(f.Rename), Mkdir: list(f.Mkdir), Chmod: list(f.Chmod),
	}
}
