package guard

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/shellparse/line"
)

// viaScreen judges the line that the screen shows.
func (g *Guard) viaScreen(ctx context.Context, key byte, st State, known bool) error {
	mark := g.mark()
	settled := g.calmed(ctx, mark)
	if g.gated() { // it was heard of meanwhile
		return nil
	}
	g.mu.Lock()
	if g.interrupts == mark && g.escaped() {
		g.mu.Unlock()
		return g.unseen(ctx)
	}
	if known {
		g.tracker.Edits(!st.Canonical)
	}
	shown, prompt := g.tracker.Pending(), g.promptText()
	hidden := shown.Secret && g.pasting && g.tracker.Screen().BracketedPaste() && (!known || st.Echo || !st.Canonical)
	looked := -1 // the outputs until the line was looked for
	look := func() {
		if !known || hidden || shown.Confidence == line.High || looked == g.outputs {
			return
		}
		g.mu.Unlock()
		found, whole := g.found(ctx, mark, st, shown)
		g.mu.Lock()
		if whole {
			looked = g.outputs
		}
		if found.Confidence == line.High {
			shown = found
		}
	}
	look()
	if (shown.Confidence != line.High && !shown.Completed || shown.Secret || shown.Unlikely) && !hidden {
		before := g.outputs // perhaps the echo is only late
		g.mu.Unlock()
		for began := time.Now(); time.Since(began) < settleTime && g.await(ctx, againTime, func() bool { return g.outputs != before || g.interrupts != mark }) && g.mark() == mark && ctx.Err() == nil; {
			g.mu.Lock()
			before = g.outputs
			g.mu.Unlock()
		}
		g.mu.Lock()
		shown = g.tracker.Pending()
		look()
	}
	if p := g.promptText(); p != "" {
		prompt = p
	}
	directory := g.hook.directory
	g.mu.Unlock()
	if shown.Completed && g.completes && g.alone && g.isAlone() {
		shown.Confidence = line.High // nobody can have written what the completion is said to have put in
	}
	// A prompt may come with a line that nobody typed there, and a line may be where nothing is seen.
	prefilled := g.stacked && !g.bare() && (!g.typed || strings.TrimSpace(shown.Text) == "") || g.typed && strings.TrimSpace(shown.Text) == "" && shown.Confidence != line.High && g.prompt != "" && !g.bare()
	g.stacked = g.stacked && (g.typed || prefilled)
	secret := prefilled || shown.Secret || known && !st.Echo && st.Canonical
	reads := g.o.Shell
	if known && !st.Own {
		reads = st.Program
	}
	g.mu.Lock()
	pressed, n := g.bound.find(g.queue, 0, g.bound.vi, st.Program)
	g.mu.Unlock()
	switch {
	case n > 0 && (pressed.Plain || pressed.Text != ""):
		key, g.pressed = '\r', n
	case n > 0: // it is an editor's
		key, g.pressed = 0x05, n
	case !couldSubmit(g.previous, key, g.coded):
		return g.pass(mark) // another shell's
	default:
		g.pressed = 1
	}
	expands := key == '\t' || g.previous == 0x18 && (key == '*' || key == 'g' || key == 'G') || key == endOfFile && g.zsh(reads) && strings.ContainsAny(shown.Text+shown.Typed, "(`")
	switch {
	case g.mark() != mark || ctx.Err() != nil:
		return ctx.Err()
	case expands && (!g.zsh(reads) || !strings.ContainsAny(shown.Text+shown.Typed, "(`") && !secret), !expands && g.previous == 0x18 && key == 0x12 && reads == "zsh",
		known && st.Canonical && (g.previous == 0x1b || g.previous == 0x18) && key != '\r' && key != '\n':
		return g.pass(mark) // here it is one like any other
	case key == sendBreak && (known && st.Canonical || reads == "bash" || reads == "fish"):
		return g.pass(mark)
	case key == endOfFile && !expands && (!g.typed || known && !st.Canonical):
		return g.endOfFile(mark)
	case strings.TrimSpace(shown.Text) == "" && (n == 0 || pressed.Plain || pressed.Idle) && !secret && (!g.typed || !g.alternate()) && (!g.typed || (key == '\r' || key == '\n') && g.pending == "" && settled && shown.Confidence == line.High):
		g.started("") // an empty line
		return g.flow()
	}
	c := Command{Line: shown.Text, Shell: g.o.Shell, Witness: Screen, Sure: settled && shown.Confidence == line.High, Directory: directory, Typed: shown.Typed}
	if known {
		c.Directory = st.Directory
		if !st.Own {
			c.Shell = st.Program
		}
	}
	c.Unsure = !c.Sure
	if at := bytes.LastIndexAny(g.pasted, "\r\n") + 1; hidden {
		// A shell that takes a paste as a whole shows nothing before its end, and zsh does so for 0.4 s after each key. The
		// keys of a paste are its text.
		c.Line, c.Sure, c.Unsure, secret = string(g.pasted[at:]), true, false, false
	}
	if known && st.Unsure {
		c.Sure, c.Unsure = false, true
	}
	if blank := strings.TrimSpace(shown.Text) == ""; blank && g.typed && (g.alternate() || c.Unsure && !g.bare()) {
		secret = true // the screen is a program's, or made to look so; a multiplexer's when the line was typed ahead of it
	}
	if secret || key == 0x05 || key == 0x12 || key == '#' || (key == 'a' || key == 'A') && !g.zsh(c.Shell) {
		c.Line, c.Unseen = "", key != 'a' && key != 'A'
		if !c.Unseen {
			return g.flow()
		}
	}
	if pressed.Text != "" { // where in the line it goes, and what else its keys do, is not known
		c.Line, c.Typed, c.Sure, c.Unsure = strings.TrimRight(c.Line+pressed.Text, "\n"), c.Typed+pressed.Text, false, true
	}
	if g.pending != "" && prompt != g.prompt {
		c.Before = g.pending
		if g.guessed {
			c.Sure, c.Unsure = false, true
		}
	} else {
		g.pending, g.prompt = "", prompt
	}
	v := g.o.Decide(ctx, c)
	return g.conclude(ctx, decision{command: c, mark: mark, held: true, run: func(v Verdict) error {
		if expands || key == 0x12 {
			g.ran = time.Time{} // the line is still there
			return g.pass(mark)
		}
		g.pending = ""
		g.stacked = g.stacked && !prefilled
		if strings.Contains(c.Line, "print") && strings.Contains(c.Line, "z") {
			g.stacked = true // print -z
		}
		if c.Unsure { // the key may have put a line there instead, as in fish's search
			g.stacked = true
		}
		if v.Incomplete && len(c.Before)+len(c.Line) < maxPending {
			g.pending, g.guessed = c.Before+c.Line+"\n", c.Unsure
		}
		if secret {
			defer g.forget() // the line model must not hold it
		}
		if hidden {
			g.ran = time.Time{} // nothing runs yet
		}
		return g.release(mark)
	}}, v)
}

// bare tells that the cursor's row shows the prompt of the line before, and nothing else.
func (g *Guard) bare() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	row := strings.TrimSpace(g.tracker.Row())
	return row == "" || row == strings.TrimSpace(g.prompt)
}

func (g *Guard) hookState() hookState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hook.state
}

func (g *Guard) zsh(shell string) bool { return gate.Shell(shell) == gate.Zsh || shell == "" }

func (g *Guard) alternate() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tracker.Screen().Alt()
}

// lastKey is when the newest key was forwarded.
func (g *Guard) lastKey() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.keyAt
}

// promptText is what stands on the cursor's row up to the line; mu is locked.
func (g *Guard) promptText() string { return g.tracker.Prompt() }

// started notes that a submit key is let go, with a line or with what is none.
func (g *Guard) started(line string) {
	g.newLine()
	g.bound.known, g.bound.tried = false, time.Time{}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ran, g.ranEnds, g.submitted = time.Now(), g.ends, line
	g.watch.stopped = false
	g.unwatch()
}

// taken tells that the submit key has reached the terminal: a row has ended since, or there is no echo to end it.
// Without that the node's word may be older than the key.
func (g *Guard) taken() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ends > g.ranEnds && g.asked.After(g.outputAt) || g.asked.After(g.ran.Add(takenTime))
}

// settled gives a command that was just let run the time of a quick one before the keys after it go ahead. A burst is
// then typed at the next prompt, as a person's keys would be, and not while the shell is neither here nor there.
func (g *Guard) settled(ctx context.Context) error {
	began := g.ran
	mark := g.hold()
	defer g.unhold()
	over := func() bool { return g.interrupts != mark || len(g.reports) > 0 || g.hook.state == atPrompt }
	waits := false
	defer func() {
		g.ran = time.Time{}
		g.mu.Lock()
		defer g.mu.Unlock()
		if (waits || g.submitted != "") && g.interrupts == mark && began != g.began && !g.watch.stopped {
			g.tracker.Concluded(g.submitted)
			return
		}
		g.tracker.Settle()
	}()
	g.mu.Lock()
	hooked, limit := g.hook.state == running && !g.hook.more || g.hook.state == starting, quickTime
	g.mu.Unlock()
	if g.burst && g.o.Terminal != nil {
		limit = burstTime
	}
	if began.Equal(g.began) || g.begins {
		limit = startTime // a first prompt
	}
	if hooked && !g.begins || g.hookState() == atPrompt { // a continued line's prompt is not told
		for time.Since(began) < limit && ctx.Err() == nil && !g.closed() {
			if g.await(ctx, pollLong, over) {
				waits = g.gated() && g.ready(ctx, mark)
				break
			}
			if st, known := g.state(ctx); !known && time.Since(began) > quickTime || known && st.Reading && st.Unread == 0 && (!st.Own || st.Canonical) && g.taken() {
				break // a program's keys, or an answer
			}
		}
		return ctx.Err()
	}
	for g.begins && time.Since(began) < settleTime { // the shell that starts another one may still be seen to wait
		if st, known := g.state(ctx); !known || !st.Own || g.await(ctx, pollShort, over) || ctx.Err() != nil || g.closed() {
			break
		}
	}
	ended := wanted{by: began.Add(takenTime), seen: func() bool { return g.ends > g.ranEnds }, prompt: true}
	waits = g.calm(ctx, mark, ended, max(quickTime, time.Until(began.Add(limit))), 0) && g.o.Terminal != nil
	return ctx.Err()
}

// calmed waits until the shell has taken all keys and shown what it shows of them. A shell that the node sees at work
// on them, on a busy machine, gets more time.
func (g *Guard) calmed(ctx context.Context, mark int) bool {
	echo := g.outputSince(g.lastKey())
	if g.pasting && g.o.Terminal != nil {
		echo.by = g.lastKey().Add(pasteTime) // there may be none before its end
	}
	return g.calm(ctx, mark, echo, settleTime, busyTime)
}

// wanted is output that is waited for, until a time: keys that show nothing have no echo. It is seen with mu locked.
type wanted struct {
	by     time.Time
	seen   func() bool
	prompt bool // then one comes: while the cursor is at a row's beginning it is thought to be on its way
}

func (g *Guard) outputSince(since time.Time) wanted {
	return wanted{by: since.Add(echoTime), seen: func() bool { return g.outputAt.After(since) }}
}

// calm waits until the wanted output has come, the shell waits for keys, and nothing more comes; false when the
// time is over first, and the additional time while the node says that it does not wait.
func (g *Guard) calm(ctx context.Context, mark int, echo wanted, limit, busy time.Duration) bool {
	deadline := time.Now().Add(limit)
	patience := deadline.Add(busy)
	poll := pollShort
	for ctx.Err() == nil && !g.closed() && g.mark() == mark {
		if time.Now().After(patience) {
			return false
		}
		late := time.Now().After(deadline)
		g.mu.Lock()
		before, seen, quiet := g.outputs, echo.seen(), time.Since(g.outputAt)
		bare := echo.prompt && g.tracker.Screen().Cursor().Col == 0
		g.mu.Unlock()
		if !seen && time.Now().Before(echo.by) {
			g.await(ctx, time.Until(echo.by), func() bool { return g.outputs != before || g.interrupts != mark })
			continue
		}
		st, known := g.state(ctx)
		need := quietBlind - quiet
		working := known && (!st.Reading || st.Unread > 0)
		switch {
		case late && !working:
			return false
		case working, !known && g.o.Terminal != nil: // a node that does not answer now may answer yet
			g.await(ctx, poll, func() bool { return g.interrupts != mark })
			poll = min(poll*3/2, pollLong/2)
			continue
		case known && (bare || echo.prompt && st.Unsure): // a multiplexer draws when it pleases
			need = promptTime
		case known:
			need = quietKnown // what the shell wrote before it waited may still be on its way
			if !echo.prompt { // an echo is there already: the time since counts
				need = max(quietLeast, need-quiet)
			}
		}
		if !g.await(ctx, need, func() bool { return g.outputs != before || g.interrupts != mark }) && ctx.Err() == nil && !g.closed() {
			return true
		}
	}
	return false
}
