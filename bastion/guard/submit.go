package guard

import (
	"context"
	"strings"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/shellparse/line"
)

// fishReads tells that fish's own `read`, which has the line editor and its keys, takes the held key. It is the gate
// that says so; what a rule forbids by its name does not get past the screen all the same.
func (g *Guard) fishReads(ctx context.Context) bool {
	mark := g.hold()
	defer g.unhold()
	r, ok := g.ask(ctx, mark, ownTime)
	if !ok || r.Function != "read" || g.mark() != mark {
		return false
	}
	g.mu.Lock()
	shown := g.tracker.Pending()
	g.mu.Unlock()
	v := g.o.Decide(ctx, Command{Line: shown.Text, Shell: g.o.Shell, Witness: Screen})
	return v.Action != auth.Deny || v.Rule == ""
}

// flowAway forwards the held key to a program, which has the keys before it too: the next line begins after them.
func (g *Guard) flowAway(st State) error {
	due := g.promptDue()
	if st.Canonical {
		g.started("") // of a program that was given its line, too, it is to be seen who reads the next one
	}
	if err := g.flow(); err != nil {
		return err
	}
	if !due { // else the gate's next prompt begins anew
		g.forget()
	}
	g.newLine()
	return nil
}

// submit waits until it is known who reads the held key, and then has it judged or lets it flow.
func (g *Guard) submit(ctx context.Context) error {
	g.mu.Lock()
	key := g.queue[0]
	_, g.pressed = g.bound.find(g.queue, 0, g.bound.vi, "")
	g.mu.Unlock()
	defer func() { g.pressed = 0 }()
	users := !couldSubmit(g.previous, key, g.coded) // it is held for what a file binds it to in some shell
	defer g.unhold()                                // however it was decided: what comes next is not behind this key
	began, poll, asked := time.Now(), pollShort, false
	var raw time.Time // since when a program takes keys one by one
	for {
		if g.gated() {
			mark := g.hold()
			if mark != g.mark() {
				return nil
			}
			if users {
				return g.pass(mark) // the gate tells the line, whatever submits it
			}
			if g.pasting && g.inserts {
				return g.viaPaste(ctx)
			}
			return g.viaGate(ctx, key)
		}
		mark := g.mark()
		st, known := g.state(ctx)
		waited := time.Since(began)
		who := g.reader(st, known)
		if who != aProgram || st.Canonical {
			raw = time.Time{}
		} else if raw.IsZero() {
			raw = time.Now()
		}
		if key == endOfFile && who != aProgram && g.endsNothing(st, known) {
			return g.endOfFile(mark)
		}
		switch {
		case who == aProgram && g.left():
			return g.unseen(ctx)
		case who == aProgram && g.flows(st, raw):
			return g.flowAway(st)
		case who == aProgram && !st.Canonical: // its ^C is a key like any other: it stays behind this one
		case who == anAnswer && st.Reading && st.Unread == 0 && g.arrived():
			return g.flowAway(st)
		case !asked && g.promptDue() && g.o.Gate.Shell() == gate.Fish && strings.Contains(g.last.Line, "read") && st.Own && !st.Canonical && st.Reading && st.Unread == 0:
			asked = true
			if g.fishReads(ctx) {
				return g.flowAway(st)
			}
		case g.promptDue() && waited < ownTime: // the gate's word may be on its way
			g.hold()
		case !known && g.promptDue():
			return g.flow() // a program's, or left for the prompt, where the gate tells it
		case who == aShell && (!known || st.Reading && st.Unread == 0) && !g.startsStill(st, known):
			if g.hold() != g.mark() {
				return nil
			}
			return g.viaScreen(ctx, key, st, known)
		default:
			g.hold()
		}
		g.await(ctx, poll, func() bool { return g.interrupts != mark || len(g.reports) > 0 || len(g.queue) == 0 })
		g.unhold()
		poll = min(2*poll, pollLong)
		g.mu.Lock()
		over := g.interrupts != mark || len(g.queue) == 0 || len(g.reports) > 0
		g.mu.Unlock()
		if over || ctx.Err() != nil || g.closed() {
			return ctx.Err()
		}
	}
}

// endsNothing tells that ^D submits no text: there is none, or an editor has it, to which it is a key like any other.
func (g *Guard) endsNothing(st State, known bool) bool {
	reads := g.o.Shell
	if known && !st.Own {
		reads = st.Program
	}
	completes := g.zsh(reads) && (g.coded || g.stacked) // what it lists may need code to run
	return !completes && (!g.typed || known && !st.Canonical)
}

// endOfFile forwards it. The shell may end.
func (g *Guard) endOfFile(mark int) error {
	g.mu.Lock()
	empty := !g.typed || strings.TrimSpace(g.tracker.Pending().Text) == ""
	g.mu.Unlock()
	if !empty {
		return g.pass(mark)
	}
	g.stops()
	return g.release(mark)
}

func (g *Guard) closed() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// viaPaste judges a line of a paste that the shell takes as text: it would run with the rest.
func (g *Guard) viaPaste(ctx context.Context) error {
	g.mu.Lock()
	mark, shown := g.interrupts, g.tracker.Pending()
	g.mu.Unlock()
	c := Command{Line: shown.Text, Shell: g.o.Shell, Directory: g.directory(ctx), Witness: Screen, Unsure: shown.Confidence != line.High}
	if c.Line != "" && !c.Unsure {
		if v := g.o.Decide(ctx, c); v.Action == auth.Deny && !v.Incomplete {
			return g.conclude(ctx, decision{command: c, mark: mark, held: true}, v)
		}
	}
	return g.release(mark)
}

// gated tells that the session's own shell edits a line and its gate will tell it.
func (g *Guard) gated() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hook.state == atPrompt || g.hook.state == running && g.hook.more
}

// state asks the node.
func (g *Guard) state(ctx context.Context) (State, bool) {
	if g.o.Terminal == nil {
		return State{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	g.mu.Lock()
	g.asked = time.Now()
	g.mu.Unlock()
	st, err := g.o.Terminal.State(ctx)
	return st, err == nil
}

// promptDue tells that the session's own shell has let a command run and will be heard of when it is over.
func (g *Guard) promptDue() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hook.state == running && !g.replaced
}

type reader int

const (
	aShell   reader = iota // its prompt takes the key: a command line
	aProgram               // the key is the program's
	anAnswer               // the shell's own `read` takes the key
)

// reader tells who takes the held key. Without the node's word it counts as a shell.
func (g *Guard) reader(st State, known bool) reader {
	g.mu.Lock()
	state := g.hook.state
	g.mu.Unlock()
	switch {
	case !known:
		return aShell
	case st.Own && state == running && st.Canonical && !g.replaced:
		return anAnswer
	case st.Own || st.Shell:
		return aShell
	}
	return aProgram
}

// startsStill tells that the gate may yet be heard for the first time.
func (g *Guard) startsStill(st State, known bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hook.state != starting || time.Since(g.began) > startTime {
		return false
	}
	return !known || st.Own && !st.Canonical
}

// arrived tells that the node's word is of a terminal that has the forwarded keys: it was asked after their echo, or
// where they have none after the time that it would have taken.
func (g *Guard) arrived() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.outputAt.After(g.keyAt) && g.asked.After(g.outputAt) || g.asked.After(g.keyAt.Add(echoTime))
}

// flows tells that a key for a program need not wait any longer. It waits because what a program leaves unread is read
// by the shell after it.
func (g *Guard) flows(st State, raw time.Time) bool {
	switch {
	case !g.typed, st.Reading && st.Unread == 0 && g.arrived():
		return true
	case !st.Canonical:
		return time.Since(raw) > rawTime
	}
	return false
}
