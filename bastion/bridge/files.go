package bridge

import (
	"context"
	"time"

	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/bastion/bridge/spdy"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/filewire"
)

// restTimeout bounds the wait for the events of a session that is ended from here.
const restTimeout = 3 * time.Second

// FilesStart is one session of SFTP or scp with a container's files.
type FilesStart struct {
	Session string
	Account string
	Target  target.Target
	User    string // empty: the container's own
	Header  filewire.Header
}

// Files starts a session; ctx bounds the start only. Stdin and Stdout of the result carry the client's protocol,
// Stderr a line of JSON for every filewire.Event. It has no terminal, and takes no signals.
func (b *Bridge) Files(ctx context.Context, s FilesStart) (Process, error) {
	g := grantFor(grant.Files, s.Session, s.Account, s.Target)
	g.User = s.User
	conn, err := b.upgrade(ctx, s.Target, "/files/"+path(s.Target), g, protocol)
	if err != nil {
		return nil, err
	}
	streams, err := conn.Open(
		map[string]string{"streamtype": "error"}, map[string]string{"streamtype": "stdin"},
		map[string]string{"streamtype": "stdout"}, map[string]string{"streamtype": "stderr"},
	)
	if err != nil {
		conn.unwatch()
		conn.Close()
		return nil, &LostError{err.Error()}
	}
	p := &process{
		bridge: b, start: Start{Session: s.Session, Account: s.Account, Target: s.Target}, conn: conn, rest: restTimeout,
		stdin: rawInput{streams[1]},
		ended: make(chan struct{}), over: make(chan struct{}),
	}
	p.stdout = &output{p: p, stream: streams[2]}
	p.stderr = &output{p: p, stream: streams[3]}
	go p.serve()
	go p.status(streams[0])
	if err := filewire.WriteHeader(p.stdin, s.Header); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// rawInput is input that is always read: a helper's.
type rawInput struct{ *spdy.Stream }

func (r rawInput) Close() error { return r.CloseWrite() }
