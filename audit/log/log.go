// Package log is the audit log: JSON Lines, one event a line, each line holding the SHA-256 of the one before. Append
// returns once the event is on the disk; appenders that wait at the same time share one fsync. What cannot be written
// is refused with an error, never dropped in silence, and never leaves half a line behind.
//
// The package refuses to know what events mean. It numbers, stamps, bounds and chains them.
package log

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/audit"
)

// Errors that callers may match.
var (
	ErrClosed = errors.New("audit: log is closed")
	ErrLocked = errors.New("audit: another process writes this log")
)

const (
	maxBatch      = 3 << 20 // bytes that one fsync makes durable, and so all that a crash can leave half done
	queueLength   = 1024
	retryInterval = time.Second
)

// Options of a log; zero values are the defaults.
type Options struct {
	Clock func() time.Time // default time.Now
}

// Log is the only writer of its file. It is safe for concurrent use.
type Log struct {
	path     string
	clock    func() time.Time
	requests chan *request
	closing  chan struct{} // closed by Close
	stopped  chan struct{} // closed when the writer has ended
	once     sync.Once
	closed   error // of closing the file; valid once stopped

	mu      sync.Mutex
	trouble *trouble // guarded by mu; nil while events are taken
}

// trouble is why events are refused at present.
type trouble struct {
	err     error
	since   time.Time
	refused int
}

type request struct {
	event audit.Event
	done  chan error // takes one value
}

// file is what the writer needs of a file.
type file interface {
	Write(p []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// diskFile leaves out of a sync what readers do not need, such as times.
type diskFile struct{ *os.File }

func (f diskFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Open opens or makes the log, takes the lock on it, and moves an unfinished end that a crash left aside, with an event
// that says so. The file is readable by its owner only; group read that an operator added is left.
func Open(path string, o Options) (*Log, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	end, err := recoverEnd(f, path, o.Clock())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := newLog(path, o.Clock)
	w := &writer{log: l, file: diskFile{f}, size: end.size, seq: end.seq, prev: end.prev}
	if end.repair != nil {
		if err := w.commit([]*request{{event: *end.repair}}); err != nil {
			return nil, errors.Join(fmt.Errorf("audit: cannot note the repair of %s: %w", path, err), f.Close())
		}
	}
	go w.run()
	return l, nil
}

func newLog(path string, clock func() time.Time) *Log {
	return &Log{
		path: path, clock: clock, requests: make(chan *request, queueLength),
		closing: make(chan struct{}), stopped: make(chan struct{}),
	}
}

func openFile(path string) (*os.File, error) {
	fail := func(err error) (*os.File, error) { return nil, fmt.Errorf("audit: cannot open log: %w", err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o600) // a FIFO must not hang us
	if err != nil {
		return fail(err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a plain file", path)
	case unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil:
		err = fmt.Errorf("%s: %w", path, ErrLocked)
	default:
		if err = f.Chmod(info.Mode().Perm() & 0o640); err == nil {
			err = syncDirectory(filepath.Dir(path))
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return fail(err)
	}
	return f, nil
}

// syncDirectory makes a new name in the directory durable.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Append makes the event durable. When the context ends first, the event may yet be written: an error never means that
// it is not in the log, only that nothing may rely on it.
func (l *Log) Append(ctx context.Context, e audit.Event) error { return l.Begin(ctx, e)() }

// Begin hands the event in, behind those that were handed in before. The result waits for it as Append does; it is to
// be called once.
func (l *Log) Begin(ctx context.Context, e audit.Event) (wait func() error) {
	bound(&e)
	r := &request{event: e, done: make(chan error, 1)}
	failed := func(err error) func() error { return func() error { return err } }
	select {
	case <-l.closing:
		return failed(ErrClosed)
	default:
	}
	select {
	case l.requests <- r:
	case <-l.closing:
		return failed(ErrClosed)
	case <-ctx.Done():
		return failed(fmt.Errorf("audit: log is too slow: %w", ctx.Err()))
	}
	return func() error { return l.wait(ctx, r) }
}

func (l *Log) wait(ctx context.Context, r *request) error {
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("audit: event is not known to be durable: %w", ctx.Err())
	case <-l.stopped:
	}
	select {
	case err := <-r.done: // answered before the writer ended
		return err
	default:
		return ErrClosed
	}
}

// Err says why events are refused at present, for /readyz; nil while they are taken. While there is an error the log
// tries again by itself every second.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trouble == nil {
		return nil
	}
	return l.trouble.err
}

// Path is where the log is.
func (l *Log) Path() string { return l.path }

// Close writes what was handed in before and lets the file go. Append fails from then on.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closing) })
	<-l.stopped
	return l.closed
}
