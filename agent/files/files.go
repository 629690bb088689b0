// Package files serves SFTP and scp from a container's own file system: Confined by a helper process that the kernel
// holds to the container's root and to the rights of one of its users, Local, for the demonstration's runtime, by this
// very process in the pretend pod's folder. What is permitted is in the session's header (filewire), and access holds
// to it; tree keeps inside. It knows no HTTP and no bastion.
package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	goruntime "runtime"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/access"
	"github.com/podbastion/podbastion/agent/files/confine"
	"github.com/podbastion/podbastion/agent/files/scp"
	"github.com/podbastion/podbastion/agent/files/sftp"
	"github.com/podbastion/podbastion/agent/files/tree"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/internal/filewire"
)

// Session is one session's streams. In begins with the header, and returns when no more comes.
type Session struct {
	User   string // empty: the container's own
	In     io.WriterTo
	Out    io.Writer
	Events io.Writer // JSON lines, filewire.Event
}

// serveCommand is the first argument of the confined program.
const serveCommand = "files-serve"

// umask is that of new files, as with sshd.
const umask = 0o022

// Main is to be called first in a program that makes a Confined. It does a helper's work and ends the process, if the
// process is a helper; otherwise it returns at once.
func Main() {
	args := os.Args[1:]
	if len(args) == 0 {
		return
	}
	confine.Main(args)
	if args[0] != serveCommand || len(args) != 3 {
		return
	}
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // the program cannot be read, which the kernel takes for the same
	unix.Umask(umask)
	debug.SetMemoryLimit(256 << 20)
	// It does one thing at a time. But where there is no second one to spare, the runtime's own watcher takes the first
	// from every read that waits, and is woken at its end: that costs more than the request.
	goruntime.GOMAXPROCS(2)
	root, err := tree.Open("/", "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "files:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM) // the session is over: what goes on stops where it is
	err = serve(ctx, root, []string{args[1], args[2]}, os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// serve reads the header and does what it says. The first of homes that is a directory is where relative paths start.
// The client has been told of an error.
func serve(ctx context.Context, root *tree.Root, homes []string, in io.Reader, out, events io.Writer) error {
	var mu sync.Mutex
	lines := json.NewEncoder(events)
	lines.SetEscapeHTML(false)
	emit := func(e filewire.Event) {
		mu.Lock()
		defer mu.Unlock()
		_ = lines.Encode(e) // whoever reads is gone, and ends this session too
	}
	err := serveHeader(ctx, root, homes, in, out, emit)
	if err != nil && !errors.Is(err, scp.ErrFailed) && ctx.Err() == nil {
		text := err.Error()
		if errors.Is(err, access.ErrDenied) {
			text = "your role does not permit to copy files"
		}
		emit(filewire.Event{Type: filewire.Notice, Reason: text})
	}
	return err
}

func serveHeader(ctx context.Context, root *tree.Root, homes []string, in io.Reader, out io.Writer, emit func(filewire.Event)) error {
	h, err := filewire.ReadHeader(in)
	if err != nil {
		return err
	}
	f, err := access.New(root, start(root, homes), h.Rules, emit)
	if err != nil {
		return err
	}
	if h.Protocol == filewire.SCP {
		return scp.Serve(ctx, in, out, f, *h.SCP)
	}
	return sftp.Serve(ctx, in, out, f)
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

// start chooses where relative paths start.
func start(root *tree.Root, homes []string) string {
	for _, home := range homes {
		if !path.IsAbs(home) {
			continue
		}
		p, err := root.Locate(home, true)
		if err != nil {
			continue
		}
		st, err := p.Stat()
		p.Close()
		if err == nil && tree.IsDir(st.Mode) {
			return p.Path
		}
	}
	return "/"
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
	if err := serve(ctx, root, []string{dir}, ending(ctx, s.In), s.Out, s.Events); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	return nil
}
