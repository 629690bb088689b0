// Package files serves SFTP and scp from a container's own file system: Confined by a helper process that the kernel
// holds to the container's root and to the rights of one of its users, Local, for the demonstration's runtime, by this
// very process in the pretend pod's folder. What is permitted is in the session's header (filewire), and access holds
// to it; tree keeps inside. It knows no HTTP and no bastion.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/podbastion/podbastion/agent/files/serve"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/agent/runtime"
)

// Session is one session's streams. In begins with the header, and returns when no more comes.
type Session struct {
	User   string // empty: the container's own
	In     io.WriterTo
	Out    io.Writer
	Events io.Writer // JSON lines, filewire.Event
}

// ending is in as long as ctx lasts.
func ending(ctx context.Context, in io.WriterTo) io.Reader {
	r, w := io.Pipe()
	go func() { // ends with in, or when nobody reads any more
		_, err := in.WriteTo(w)
		_ = w.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) })
	return r
}

// Local serves the folders of the demonstration's process runtime, as the user that this process runs as. A path is
// what a shell there would have for it, but only those in the pod's folder can be reached.
type Local struct{}

// Serve serves one session.
func (Local) Serve(ctx context.Context, c runtime.Container, s Session) error {
	if s.User != "" {
		return errors.New("files: the process runtime cannot change users")
	}
	dir := path.Clean(c.WorkDir)
	root, err := tree.Open(dir, dir)
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := serve.Serve(ctx, root, []string{dir}, ending(ctx, s.In), s.Out, s.Events); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	return nil
}
