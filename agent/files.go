package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/files/scp"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/auth/grant"
)

// Files serves SFTP and scp from containers. It returns nil when all that the client asked for was done.
type Files interface {
	Serve(ctx context.Context, c runtime.Container, s files.Session) error
}

// files serves a session of SFTP or scp: stdin is a header and the client's bytes, stdout those for the client, stderr
// a line of JSON for every event (filewire).
func (s *Server) files(w http.ResponseWriter, r *http.Request) {
	want := grant.Want{
		Kind: grant.Files, Namespace: r.PathValue("namespace"), Pod: r.PathValue("pod"), Container: r.PathValue("container"),
	}
	g, ok := s.authorise(w, r, want)
	if !ok {
		return
	}
	c, ok := s.container(w, r, want, g)
	if !ok {
		return
	}
	if s.o.Files == nil {
		http.Error(w, "agent: it serves no files", http.StatusNotImplemented)
		return
	}
	live := newSession(g)
	if err := s.begin(live); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	defer s.finish(live)
	conn, _ := r.Context().Value(connKey{}).(*watched)
	f := &fileServer{server: s, live: live, grant: g, container: c, conn: conn, lane: newLane(w)}
	defer f.lane.close()
	opts := &remotecommand.Options{Stdin: true, Stdout: true, Stderr: true}
	remotecommand.ServeExec(f.lane, r, f, g.Pod, g.UID, g.Container, []string{"files"}, opts, 0, streamTimeout, []string{remotecommand.StreamProtocolV4Name})
}

// fileServer serves one grant's files.
type fileServer struct {
	server    *Server
	live      *session
	grant     grant.Grant
	container runtime.Container
	conn      *watched
	lane      *lane
}

// ExecInContainer implements remotecommand.Executor.
func (f *fileServer) ExecInContainer(_ context.Context, _, _, _ string, _ []string, in io.Reader, out, events io.WriteCloser,
	_ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	ctx := f.live.ctx
	defer f.live.end()
	defer f.server.watcher.add(f.conn, func() { f.live.cancel(errors.New("the bastion's connection is gone")) })()
	served := make(chan struct{})
	defer close(served)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-served:
		case <-time.After(linger): // the peer does not read what it is to get
			if f.conn != nil {
				f.conn.cut()
			}
		}
	})
	defer stop()
	from, ok := in.(identified)
	to, ok2 := out.(identified)
	if !ok || !ok2 {
		return errors.New("agent: files are served by SPDY alone")
	}
	err := f.server.o.Files.Serve(ctx, f.container, files.Session{
		User: f.grant.User, In: f.lane.from(from, f.count("in")), Out: counter{f.lane.to(to), f.count("out")}, Events: events,
	})
	_ = out.Close() // tells the peer that this was all
	_ = events.Close()
	f.server.o.Log.WithFields(logrus.Fields{
		"session": f.grant.Session, "account": f.grant.Account, "container": f.container.Key.String(),
	}).WithError(err).Debug("files served")
	return filesText(err)
}

func (f *fileServer) count(direction string) func(int) {
	c := f.server.o.Metrics.bytes.WithLabelValues(direction)
	return func(n int) { c.Add(float64(n)) }
}

// counter counts what passes.
type counter struct {
	io.Writer
	add func(int)
}

func (c counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.add(n)
	return n, err
}

// filesText tells the end as remotecommand can. A status of 1 means that the client was told what went wrong.
func filesText(err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, scp.ErrFailed), errors.As(err, &exit) && exit.Exited():
		return utilexec.CodeExitError{Err: errors.New("exit 1"), Code: 1}
	case errors.Is(err, runtime.ErrGone), errors.Is(err, files.ErrContainerEnded):
		return errors.New("gone: the container ended")
	}
	return fmt.Errorf("agent: %w", err)
}
