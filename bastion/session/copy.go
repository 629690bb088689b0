package session

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/bastion/ahead"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/guard"
	"github.com/podbastion/podbastion/internal/filewire"
	"github.com/podbastion/podbastion/internal/tty"
)

const (
	smallBuffer = 2 << 10  // what one idle direction holds
	bigBuffer   = 32 << 10 // what a busy one borrows: a packet of the SSH library
	limitTick   = 30 * time.Second
)

// big lends buffers to directions that are busy. It is shared by all sessions and holds nothing of any.
var big = sync.Pool{New: func() any { b := make([]byte, bigBuffer); return &b }}

// clock is when something last happened.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.touch()
	return c
}

func (c *clock) touch()               { c.nanos.Store(time.Now().UnixNano()) }
func (c *clock) since() time.Duration { return time.Since(time.Unix(0, c.nanos.Load())) }

// copier moves a session's bytes.
type copier struct {
	run      *run
	live     *live
	recorder *recorder
	last     *clock                    // of a byte in either direction
	events   func(src io.Reader) error // takes the process' standard error, where that is not for the client
	in, out  atomic.Int64
	cut      atomic.Bool // output that comes now is not for the client: some of it may be missing already

	commands *commands    // nil for a file transfer
	start    bridge.Start // of commands
	guard    *guard.Guard // of a terminal
	pipe     *guard.Pipe  // of a shell that reads a pipe
	ahead    *ahead.Front // of SFTP
	secret   string       // of the requests that it makes
}

// pump copies until src ends. It holds a small buffer while little comes and borrows a big one while much does.
func pump(dst func(p []byte) error, src io.Reader) error {
	small := make([]byte, smallBuffer)
	for {
		n, err := src.Read(small)
		if n > 0 {
			if err := dst(small[:n]); err != nil {
				return err
			}
		}
		if err == nil && n == len(small) {
			err = pumpBusy(dst, src)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// pumpBusy copies until a read does not fill much of the buffer.
func pumpBusy(dst func(p []byte) error, src io.Reader) error {
	b := big.Get().(*[]byte)
	defer big.Put(b)
	for {
		n, err := src.Read(*b)
		if n > 0 {
			if err := dst((*b)[:n]); err != nil {
				return err
			}
		}
		if err != nil || n < smallBuffer {
			return err
		}
	}
}

// result is how a process ended, or that it was lost.
type result struct {
	exit bridge.Exit
	err  error
}

// run1 starts the process and copies until it ended, or something else ends the session: then the error says what.
func (c *copier) run1(ctx context.Context, start func(context.Context) (bridge.Process, error)) (bridge.Exit, error) {
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := start(startCtx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return bridge.Exit{}, cause
		}
		return bridge.Exit{}, err
	}
	c.run.service.o.Metrics.start.Observe(time.Since(c.run.began).Seconds())
	if at := c.run.login.At; !at.IsZero() {
		c.run.service.o.Metrics.login.Observe(time.Since(at).Seconds())
	}
	ended := make(chan struct{})
	defer close(ended)
	broken := make(chan error, 5)
	defer c.guarded(ctx, p, broken)()
	if c.run.protocol == filewire.SFTP {
		c.ahead = ahead.New(p.Stdin(), writer(c.deliver), c.run.login.Client, c.secret)
		defer c.ahead.Close()
	}
	go c.input(ctx, p, broken) // ends with the client's channel
	go c.control(ctx, p, ended)
	done := c.output(p, broken)
	return c.watch(ctx, p, done, broken)
}

// input copies the client's bytes to the process and passes its EOF on.
func (c *copier) input(ctx context.Context, p bridge.Process, broken chan<- error) {
	stdin := p.Stdin()
	write := func(b []byte) error { _, err := stdin.Write(b); return err }
	switch {
	case c.guard != nil:
		write = c.guard.FromClient
	case c.pipe != nil:
		write = func(b []byte) error { return c.pipe.Write(ctx, b) }
	case c.ahead != nil:
		write = c.ahead.FromClient
	}
	err := pump(func(b []byte) error { // a process that reads no more is no reason to end; the client's window then fills
		c.last.touch()
		c.in.Add(int64(len(b)))
		c.run.service.o.Metrics.bytes.WithLabelValues("in").Add(float64(len(b)))
		return write(b)
	}, c.run.client.Stdin)
	switch {
	case err == nil && c.guard != nil:
		flush, cancel := context.WithTimeout(ctx, flushTime)
		c.guard.Flush(flush)
		cancel()
	case err == nil && c.pipe != nil:
		err = c.pipe.End(ctx)
	case err == nil && c.ahead != nil:
		err = c.ahead.End()
	}
	if end := guardEnd(err); end != nil {
		broken <- end
	} else if end := (*End)(nil); errors.As(err, &end) {
		broken <- end
	}
	_ = stdin.Close()
}

// guarded puts the guard that the session needs in place; what it returns ends it.
func (c *copier) guarded(ctx context.Context, p bridge.Process, broken chan<- error) func() {
	switch {
	case c.commands == nil:
		return func() {}
	case c.run.request.Terminal == nil:
		if c.commands.shell != "" {
			c.pipe = &guard.Pipe{Target: p.Stdin(), Shell: c.commands.shell, Decide: c.commands.judge.Decide, Record: c.commands.record, Warn: c.run.say}
		}
		return func() {}
	}
	statuses := make(chan audit.Event, 16)
	var closeTerminal func()
	c.guard, closeTerminal = c.commands.guard(c.start, p.Stdin(), writer(c.show), statuses)
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() {
		if end := guardEnd(c.guard.Run(ctx)); end != nil {
			broken <- end
		}
	})
	var log sync.WaitGroup
	log.Go(func() {
		for e := range statuses {
			if err := c.run.append(e); err != nil {
				c.run.log().WithError(err).Error("a command's end could not be remembered")
			}
		}
	})
	return func() {
		cancel()
		c.guard.Close()
		closeTerminal()
		work.Wait()
		close(statuses) // nobody sends any more
		log.Wait()
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// show records what a terminal's client gets, and passes it on.
func (c *copier) show(b []byte) (int, error) {
	if err := c.recorder.output(b); err != nil {
		return 0, err
	}
	n, err := c.run.client.Stdout.Write(b)
	c.out.Add(int64(n))
	c.run.service.o.Metrics.bytes.WithLabelValues("out").Add(float64(n))
	if err != nil {
		return n, &End{Reason: "client: takes no more output"}
	}
	return n, nil
}

// write passes output on and counts it.
func (c *copier) write(dst io.Writer, b []byte) error {
	n, err := dst.Write(b)
	c.out.Add(int64(n))
	c.run.service.o.Metrics.bytes.WithLabelValues("out").Add(float64(n))
	if err != nil {
		return &End{Reason: "client: takes no more output"}
	}
	return nil
}

// deliver passes on what is for the client of a file transfer.
func (c *copier) deliver(b []byte) (int, error) {
	if c.cut.Load() {
		return len(b), nil
	}
	return len(b), c.write(c.run.client.Stdout, b)
}

// output copies what the process writes; the result comes once all of it was written and the process ended.
func (c *copier) output(p bridge.Process, broken chan<- error) <-chan result {
	var copies sync.WaitGroup
	one := func(dst io.Writer, src io.Reader, record func([]byte) error) {
		if src == nil {
			return
		}
		copies.Go(func() {
			err := pump(func(b []byte) error {
				c.last.touch()
				if c.cut.Load() {
					return nil
				}
				if err := record(b); err != nil {
					return err
				}
				return c.write(dst, b)
			}, src)
			if end := (*End)(nil); errors.As(err, &end) {
				broken <- err // a source that breaks is told by Wait
			}
		})
	}
	if c.guard != nil {
		copies.Go(func() {
			err := pump(func(b []byte) error {
				c.last.touch()
				return c.guard.FromTarget(b)
			}, p.Stdout())
			if end := (*End)(nil); errors.As(err, &end) {
				broken <- err
			}
		})
	} else if c.ahead != nil {
		copies.Go(func() {
			err := pump(func(b []byte) error {
				c.last.touch()
				if c.cut.Load() {
					return nil
				}
				return c.ahead.FromServer(b)
			}, p.Stdout())
			if end := (*End)(nil); errors.As(err, &end) {
				broken <- err
			}
		})
	} else {
		one(c.run.client.Stdout, p.Stdout(), c.recorder.output)
	}
	switch {
	case c.events != nil:
		copies.Go(func() {
			if err := c.events(p.Stderr()); err != nil {
				broken <- err
				_, _ = io.Copy(io.Discard, p.Stderr()) // what else comes must not hold back the end
			}
		})
	case c.run.request.Terminal == nil:
		one(c.run.client.Stderr, p.Stderr(), c.recorder.errors)
	}
	done := make(chan result, 1)
	go func() {
		copies.Wait()
		exit, err := p.Wait()
		done <- result{exit, err}
	}()
	return done
}

// control passes window changes and signals on, until the session or the client ends.
func (c *copier) control(ctx context.Context, p bridge.Process, ended <-chan struct{}) {
	resizes, signals := c.run.client.Resizes, c.run.client.Signals
	for {
		select {
		case size := <-resizes:
			c.last.touch()
			c.resize(p, size)
		case name := <-signals:
			if c.guard != nil && name == "INT" {
				c.guard.Interrupted()
			}
			signalCtx, cancel := context.WithTimeout(ctx, factsTimeout)
			if err := p.Signal(signalCtx, name); err != nil {
				c.run.log().WithError(err).WithField("signal", name).Debug("signal not delivered")
			}
			cancel()
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *copier) resize(p bridge.Process, size tty.Size) {
	if c.guard != nil {
		c.guard.Resize(size)
	}
	if err := p.Resize(size); err != nil {
		c.run.log().WithError(err).Debug("resize not delivered")
		return
	}
	c.recorder.resize(size)
}

// watch waits for the end and holds the role's limits.
func (c *copier) watch(ctx context.Context, p bridge.Process, done <-chan result, broken <-chan error) (bridge.Exit, error) {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case r := <-done:
			if r.err == nil {
				c.explain(r.exit)
			}
			return r.exit, r.err
		case err := <-broken:
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return bridge.Exit{}, c.stop(p, done, err)
		case <-ctx.Done():
			return bridge.Exit{}, c.stop(p, done, context.Cause(ctx))
		case <-timer.C:
		case <-c.live.changed:
		}
		next, end := c.limits(time.Since(began))
		if end != nil {
			return bridge.Exit{}, c.stop(p, done, end)
		}
		timer.Reset(next)
	}
}

// explain tells the client what the status alone does not: a program that did not start, and a kill that came from
// outside the process.
func (c *copier) explain(exit bridge.Exit) {
	switch {
	case exit.NotStarted != "":
		c.run.say("the program could not be started: " + printable(exit.NotStarted))
	case exit.Signal == "KILL":
		ctx, cancel := context.WithTimeout(context.Background(), goneTimeout)
		defer cancel()
		_, err := c.run.service.o.Bridge.Facts(ctx, c.run.id, string(c.live.principal.Account), c.live.target, c.live.role.Load().User)
		if errors.Is(err, bridge.ErrGone) {
			c.run.say("the container has ended")
			return
		}
		c.run.say("the process was killed (SIGKILL): by somebody in the pod, or because the pod has no memory left")
	}
}

// limits says whether the role's limits end the session, and when to look again.
func (c *copier) limits(ran time.Duration) (time.Duration, error) {
	next := limitTick
	l := c.live.role.Load().Limits
	if l.Duration > 0 {
		if ran >= l.Duration {
			return 0, c.limit("duration", "the session has lasted "+l.Duration.String()+", which is all that your role permits")
		}
		next = min(next, l.Duration-ran)
	}
	if l.Idle > 0 {
		idle := c.last.since()
		if idle >= l.Idle {
			return 0, c.limit("idle", "nothing was typed or printed for "+l.Idle.String()+"; your role ends the session then")
		}
		next = min(next, l.Idle-idle)
	}
	return next, nil
}

func (c *copier) limit(what, text string) error {
	e := c.run.event("limit.hit")
	e.Reason = what
	if err := c.run.append(e); err != nil {
		c.run.log().WithError(err).Error("a limit could not be remembered")
	}
	return &End{Reason: "limit: " + what, Text: text}
}

// stop ends the process tree and waits for what it still wrote, but not for ever: a client that takes nothing more, or
// an agent that does not answer, is left behind.
func (c *copier) stop(p bridge.Process, done <-chan result, why error) error {
	if c.events != nil { // what became of the files is told behind output that nobody takes any more
		c.cut.Store(true)
		var rest sync.WaitGroup
		rest.Go(func() { _, _ = io.Copy(io.Discard, p.Stdout()) }) // ends with the process
		defer rest.Wait()
	}
	if err := p.Close(); err != nil {
		c.run.log().WithError(err).Warn("closing the process")
	}
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		c.run.client.Abort()
	}
	return why
}
