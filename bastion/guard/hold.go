package guard

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// How long things are waited for.
const (
	answerTime  = 5 * time.Second         // the gate's answer
	pasteTime   = 30 * time.Millisecond   // the gate's word within a paste, whose line ends the shell may take as text
	startTime   = 3 * time.Second         // a gate that was never heard
	lostTime    = time.Second             // a reply that fish does not act on
	stateTime   = 2 * time.Second         // the node's answer
	rawTime     = time.Second             // a program that takes keys one by one and is not seen to wait for them
	ownTime     = 3 * time.Second         // the prompt of a shell whose gate tells every line
	echoTime    = 150 * time.Millisecond  // an echo that does not come
	takenTime   = 500 * time.Millisecond  // a submit key that ends no row
	quietKnown  = 10 * time.Millisecond   // without output, once the shell is known to have read all keys
	quietLeast  = 2 * time.Millisecond    // of that, after it was asked
	quietBlind  = 40 * time.Millisecond   // without output, where the node tells nothing
	againTime   = 500 * time.Millisecond  // without output, where the line is not certain yet
	settleTime  = 1500 * time.Millisecond // output that does not end
	busyTime    = 5 * time.Second         // a shell at work on the keys
	lookTime    = 100 * time.Millisecond  // for which the node's word on a screen that looks like a program's counts
	quickTime   = 100 * time.Millisecond  // a command that keys wait for
	burstTime   = 500 * time.Millisecond  // and one that they came together with, where the node tells who reads
	readyTime   = 60 * time.Millisecond   // for a line editor to take the terminal, where the node tells nothing
	editorTime  = 300 * time.Millisecond  // and where it tells
	promptTime  = 120 * time.Millisecond  // without output, where a prompt is missing yet
	readyQuiet  = 3 * time.Millisecond
	pollShort   = 2 * time.Millisecond
	pollLong    = 50 * time.Millisecond
	pasteBegin  = "\x1b[200~"
	pasteEnd    = "\x1b[201~"
	gateKeys    = "\x1b[7770;"
	endOfFile   = 0x04
	sendBreak   = 0x07
	operateNext = 0x0f
)

// Run forwards, holds and releases until the context ends, the guard is closed, or a line could not be cleared.
func (g *Guard) Run(ctx context.Context) error {
	defer g.Close()
	for {
		if err := g.step(ctx); err != nil {
			return err
		}
	}
}

// step does the next thing there is to do: what the gate told, then text, then a submit key.
func (g *Guard) step(ctx context.Context) error {
	g.mu.Lock()
	g.working = true
	if len(g.reports) > 0 {
		r := g.reports[0]
		g.reports = g.reports[1:]
		g.mu.Unlock()
		return g.report(ctx, r)
	}
	if g.watch.on && g.watch.mark != g.interrupts { // the one that overtook
		g.watch.on = false
		g.mu.Unlock()
		g.stops()
		return nil
	}
	if g.escaped() {
		g.mu.Unlock()
		return g.unseen(ctx)
	}
	awaited := g.hook.awaited
	var text []byte
	if g.discard {
		g.discarded()
	}
	editing := g.hook.editing && len(g.queue) > 0
	if awaited.IsZero() && g.ran.IsZero() && !editing && g.unlearned() {
		g.mu.Unlock()
		g.learn(ctx)
		return nil
	}
	if awaited.IsZero() && g.ran.IsZero() && len(g.queue) > 0 && !editing {
		text = bytes.Clone(g.queue[:g.flowing()])
		g.consume(len(text))
	}
	waiting, mark := len(g.queue) > 0, g.interrupts
	g.working = waiting || len(text) > 0 || !awaited.IsZero()
	var looks <-chan time.Time
	if g.watch.on && !g.watch.editor && g.ends != g.watch.ends && g.outputs != g.watch.outputs {
		looks = time.After(quietKnown)
	}
	g.mu.Unlock()
	switch {
	case !awaited.IsZero():
		return g.awaitGate(ctx, awaited)
	case editing:
		g.ran = time.Time{}
		return g.edits(ctx)
	case waiting && !g.ran.IsZero():
		return g.settled(ctx)
	case len(text) > 0:
		return g.text(mark, text)
	case waiting:
		return g.submit(ctx)
	}
	select {
	case <-g.wake:
		return nil
	case <-looks:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-g.done:
		return ErrClosed
	}
}

// consume takes bytes off the queue; mu is locked.
func (g *Guard) consume(n int) {
	g.before += n
	if g.queue = g.queue[n:]; len(g.queue) == 0 {
		g.queue = nil
	}
	g.roomed()
}

// giveBack puts forwarded keys in front of the queue, as if they had not been; mu is locked.
func (g *Guard) giveBack(before, keys []byte) {
	if g.stop <= g.before {
		g.stop = 0
	}
	g.queue = slices.Concat(keys, g.queue)
	g.before -= len(keys)
	g.newLine()
	g.typed, g.completes, g.coded, g.previous, g.paste = false, false, false, 0, 0
	if len(before) > 0 {
		g.previous = before[len(before)-1]
	}
	if begins, ends := bytes.Count(keys, []byte(pasteBegin)), bytes.Count(keys, []byte(pasteEnd)); begins != ends {
		g.pasting = ends > begins
	}
	g.tracker.Forget()
}

// roomed has FromClient look again, if it waits.
func (g *Guard) roomed() {
	select {
	case g.space <- struct{}{}:
	default:
	}
}

// discarded drops what is left of a paste; mu is locked.
func (g *Guard) discarded() {
	for i, b := range g.queue {
		if g.paste = follow(pasteEnd, g.paste, b); g.paste == len(pasteEnd) {
			g.paste, g.pasting, g.discard = 0, false, false
			g.consume(i + 1)
			return
		}
	}
	g.consume(len(g.queue))
}

// flowing counts the keys ahead of the first that could submit a line; mu is locked.
func (g *Guard) flowing() int {
	previous, coded, hooked, vi := g.previous, g.coded, g.hooked(), g.bound.vi
	for i, b := range g.queue {
		if couldSubmit(previous, b, coded) {
			return i
		}
		if !hooked {
			if _, n := g.bound.find(g.queue, i, vi, ""); n > 0 {
				return i
			}
		}
		if b == interrupt[0] {
			return i + 1 // what is behind it comes after what it does
		}
		previous, coded = b, coded || mayCode(b)
		vi.key(b)
	}
	return len(g.queue)
}

// couldSubmit knows the keys that accept a line or run some of it in some shell: Enter, ^J, ^O, ^D where the kernel
// edits, M-a and M-A in zsh, M-# in both, ^X^E and M-^E in bash, whose ^X^R reads anew what keys mean, ^X* and ^Xg in zsh;
// and ^G, which in zsh and ksh looks as if it did; Tab behind what may be code.
func couldSubmit(previous, b byte, coded bool) bool {
	switch b {
	case '\t':
		return coded
	case '\r', '\n', operateNext, endOfFile, sendBreak:
		return true
	case 'a', 'A':
		return previous == 0x1b
	case 0x05:
		return previous == 0x18 || previous == 0x1b
	case '#':
		return previous == 0x1b
	case 0x12, '*', 'g', 'G':
		return previous == 0x18
	}
	return false
}

// mayCode tells that a key may put code into the line, which zsh runs when it completes: what opens a substitution, and
// what brings up an earlier line.
func mayCode(b byte) bool { return b == '`' || b == '(' || b == 0x1b || b == 0x10 || b == 0x12 }

// text forwards keys that submit nothing. The keys that belong to the gate are not a user's to press.
// What an interrupt overtook since mark is gone, as with a terminal's own.
func (g *Guard) text(mark int, p []byte) error {
	out := p[:0]
	for _, b := range p {
		g.magic = follow(gateKeys, g.magic, b)
		if g.magic == len(gateKeys) {
			g.magic = 0
			continue
		}
		out = append(out, b)
		g.noteKey(b)
	}
	if len(out) == 0 {
		return nil
	}
	g.look()
	g.watchPrompt()
	if bytes.IndexByte(out, '\t') >= 0 && !g.gated() {
		st, known := g.state(context.Background()) // bounded by stateTime
		g.alone = known && g.reader(st, known) == aShell && (g.alone || !g.completes) && g.isAlone()
		g.completes = true
	}
	g.typed = true
	g.noteLine(mark, out)
	sent, err := g.sendUnless(mark, out, true)
	if sent && out[len(out)-1] == interrupt[0] && g.watching() {
		g.stops()
	}
	return err
}

// isAlone tells that only the shell can write to the terminal, as far as the node knows.
func (g *Guard) isAlone() bool {
	if g.o.Terminal == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), stateTime)
	defer cancel()
	alone, err := g.o.Terminal.Alone(ctx)
	return alone && err == nil
}

// look tells the line model who has the terminal while the screen looks like a program's, which anybody can print.
func (g *Guard) look() {
	g.mu.Lock()
	alternate, ours := g.tracker.Screen().Alt(), g.hook.state == atPrompt
	g.mu.Unlock()
	if !alternate || time.Since(g.looked) < lookTime {
		return
	}
	if !ours {
		st, known := g.state(context.Background()) // bounded by stateTime
		ours = known && g.reader(st, known) == aShell
	}
	g.looked = time.Now()
	g.mu.Lock()
	g.tracker.Foreground(ours)
	g.mu.Unlock()
}

// noteKey follows pastes.
func (g *Guard) noteKey(b byte) {
	if g.previous == 0x1b && (b == 'q' || b == 'Q' || b == 'a' || b == 'A') || b == operateNext { // push-line, accept-and-hold
		g.stacked = true
	}
	g.previous, g.coded = b, g.coded || mayCode(b)
	g.bound.forwarded(b)
	mark := pasteBegin
	if g.pasting {
		mark = pasteEnd
	}
	if g.pasting && len(g.pasted) < maxPending {
		g.pasted = append(g.pasted, b)
	}
	if g.paste = follow(mark, g.paste, b); g.paste == len(mark) {
		g.paste, g.inserts, g.pasted = 0, false, nil
		g.pasting = !g.pasting
	}
}

// follow is one step of finding a mark that begins with an escape.
func follow(mark string, matched int, b byte) int {
	switch {
	case mark[matched] == b:
		return matched + 1
	case mark[0] == b:
		return 1
	}
	return 0
}

// awaitGate waits for the gate's word on a released key. Nothing else is forwarded meanwhile: the hook reads the
// terminal until it is answered.
func (g *Guard) awaitGate(ctx context.Context, since time.Time) error {
	limit := answerTime
	if g.pasting {
		limit = pasteTime
	}
	mark := g.hold()
	defer g.unhold()
	if g.await(ctx, time.Until(since.Add(limit)), func() bool {
		return len(g.reports) > 0 || g.hook.awaited.IsZero() || g.interrupts != mark
	}) || ctx.Err() != nil {
		g.mu.Lock()
		if g.interrupts != mark {
			g.hook.awaited = time.Time{}
		}
		g.mu.Unlock()
		return ctx.Err()
	}
	if g.pasting {
		g.inserts = true
		g.mu.Lock()
		g.hook.awaited, g.hook.solicited = time.Time{}, false
		g.mu.Unlock()
		return nil
	}
	// The key was released for the gate to tell the line, and it told nothing: what the screen showed may have run.
	g.mu.Lock()
	shown, typed := g.hook.seen, g.hook.typed
	g.mu.Unlock()
	g.silent()
	if shown.Text == "" && !typed {
		return nil
	}
	c := Command{Line: shown.Text, Shell: g.o.Shell, Directory: g.directory(ctx), Witness: Screen, Unsure: true, Unseen: shown.Secret || shown.Text == ""}
	if shown.Secret {
		c.Line = ""
	}
	return g.happened(ctx, c)
}

func (g *Guard) mark() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.interrupts
}

// hold says that a key is held back. It returns what the interrupts were before, since one may go ahead at once.
func (g *Guard) hold() (mark int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mark = g.interrupts
	if !g.held {
		g.roomed() // what it still has may hold an interrupt
	}
	g.held = true
	// An interrupt that is in the queue already goes ahead too.
	if i := g.stop - g.before - 1; i > 0 {
		g.consume(i)
		g.interrupts++
	}
	return mark
}

func (g *Guard) unhold() {
	g.mu.Lock()
	g.held = false
	g.mu.Unlock()
}

// takeHeld takes the held key off the queue; mu is locked.
func (g *Guard) takeHeld() []byte {
	key := bytes.Clone(g.queue[:min(max(1, g.pressed), len(g.queue))])
	g.consume(len(key))
	return key
}

// release forwards the held key, unless an interrupt took it away.
func (g *Guard) release(mark int) error {
	g.keys.Lock()
	defer g.keys.Unlock()
	g.mu.Lock()
	if g.interrupts != mark || len(g.queue) == 0 {
		g.hook.awaited, g.hook.solicited = time.Time{}, false
		g.mu.Unlock()
		return nil
	}
	key := g.takeHeld()
	g.burst = len(g.queue) > 0
	g.mu.Unlock()
	for _, b := range key {
		g.noteKey(b)
	}
	g.typed, g.completes, g.coded = false, false, false
	return g.write(key, true)
}

// pass forwards the held key as text.
func (g *Guard) pass(mark int) error {
	g.mu.Lock()
	if g.interrupts != mark || len(g.queue) == 0 {
		g.mu.Unlock()
		return nil
	}
	key := g.takeHeld()
	g.mu.Unlock()
	return g.text(mark, key)
}

// flow forwards the held key as one that submits no command line.
func (g *Guard) flow() error { return g.release(g.mark()) }

// forget drops what the line model has of keys that a program took.
func (g *Guard) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tracker.Forget()
}
