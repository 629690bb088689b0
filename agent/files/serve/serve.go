// Package serve does one session's work: it reads the header (filewire), and serves SFTP or scp as that says. It is all
// that a confined helper is made of, so that one starts quickly: what it imports is started with it, twice a session.
package serve

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
	"github.com/podbastion/podbastion/internal/filewire"
)

// Command is the first argument of the confined program; where relative paths may start follows, the best first.
const Command = "files-serve"

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
	if args[0] != Command || len(args) != 3 {
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
	err = Serve(ctx, root, []string{args[1], args[2]}, os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// Serve reads the header and does what it says. The first of homes that is a directory is where relative paths start.
// The client has been told of an error.
func Serve(ctx context.Context, root *tree.Root, homes []string, in io.Reader, out, events io.Writer) error {
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
	return sftp.Serve(ctx, in, out, f, h.Secret)
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
