package session

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/internal/filewire"
)

const (
	maxEventLine = 128 << 10
	maxAppends   = 64 // events of finished transfers on their way into the log at once
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
		if h, ok = recognise(r.request.Command); !ok {
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
	start := bridge.FilesStart{
		Session: r.id, Account: string(r.login.Principal.Account), Target: resolved.Target, User: resolved.Role.User, Header: h,
	}
	c := &copier{run: r, live: l, recorder: &recorder{run: r}, last: newClock()}
	required := resolved.Role.Recording == auth.RecordingRequired
	c.events = func(src io.Reader) error { return r.fileEvents(src, required) }
	return r.execute(ctx, c, func(ctx context.Context) (bridge.Process, error) { return r.service.o.Files.Files(ctx, start) }), nil
}

// fileEvents writes what an agent tells into the audit log. Transfers that are over may overtake one another there;
// everything else keeps its place. An error ends the session.
func (r *run) fileEvents(src io.Reader, required bool) error {
	lines := bufio.NewScanner(src)
	lines.Buffer(make([]byte, 4<<10), maxEventLine)
	var pending sync.WaitGroup
	defer pending.Wait()
	slots := make(chan struct{}, maxAppends)
	failed := make(chan error, 1)
	remember := func(e filewire.Event) {
		if err := r.append(r.fileEvent(e)); err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}
	for lines.Scan() {
		var e filewire.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return &End{Reason: "lost: the agent's events are not understood", Text: "the connection to the pod was lost: its agent is not understood"}
		}
		switch {
		case e.Type == filewire.Notice:
			r.say(printable(e.Reason))
		case e.ID != 0:
			slots <- struct{}{}
			pending.Go(func() {
				defer func() { <-slots }()
				remember(e)
			})
		default:
			pending.Wait()
			remember(e)
		}
		select {
		case err := <-failed:
			r.log().WithError(err).Error("a file event could not be remembered")
			if required {
				return &End{Reason: "audit: " + err.Error(), Text: "what you do cannot be remembered any more, which your role requires"}
			}
		default:
		}
	}
	if lines.Err() != nil { // the agent's end of it is told by the process
		_, _ = io.Copy(io.Discard, src)
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
