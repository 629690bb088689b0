package guard

import (
	"context"
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/shellparse/line"
)

// hookState is what is known of the gate.
type hookState int

const (
	absent   hookState = iota // there is none, or it does not answer
	starting                  // it was not heard yet
	atPrompt                  // the shell edits a line at its prompt
	running                   // a line was let run; no prompt since
)

// hook is the guard's view of the gate. Fields are guarded by Guard.mu.
type hook struct {
	state     hookState
	count     int    // of the newest line told
	continues string // the lines that the next one continues
	directory string
	answer    *gate.Report
	asked     bool
	awaited   time.Time // when a submit key was released to it; zero when nothing is awaited
	seen      line.Line // what the screen showed then
	solicited bool
	doubt     bool
	prompts   int
	promptAt  time.Time
	status    int
	finished  bool // status is new
}

// reported is called with mu locked, in the order of the output.
func (g *Guard) reported(r gate.Report) {
	h := &g.hook
	switch r.Kind {
	case gate.Prompt:
		if r.Count < h.count {
			h.doubt = true
			return
		}
		h.finished = h.state == running
		h.state, h.continues, h.directory, h.status = atPrompt, "", r.Directory, r.Status
		h.awaited, h.solicited, h.doubt = time.Time{}, false, false
		h.prompts++
		h.promptAt = time.Now()
		if h.finished && g.o.Finished != nil {
			g.push(r)
		}
	case gate.Answer:
		if !h.asked {
			h.doubt = true // nobody asked
			return
		}
		h.answer = &r
	case gate.Line, gate.Ready:
		g.push(r)
	default:
		h.doubt = true
	}
}

func (g *Guard) push(r gate.Report) {
	if len(g.reports) < maxReports {
		g.reports = append(g.reports, r)
	}
}

// report handles what the gate told, outside the lock.
func (g *Guard) report(ctx context.Context, r gate.Report) error {
	switch r.Kind {
	case gate.Ready:
		return g.tell(g.o.Gate.Go())
	case gate.Prompt:
		g.o.Finished(g.last, r.Status)
		return nil
	}
	return g.told(ctx, r)
}

// told judges a line that the gate holds.
func (g *Guard) told(ctx context.Context, r gate.Report) error {
	if !g.plausible(ctx) {
		g.doubted()
		return nil // a program printed it; an answer would be keys to that program
	}
	g.mu.Lock()
	h := &g.hook
	mark, shown, solicited := g.interrupts, h.seen, h.solicited
	twice := r.Count <= h.count
	c := Command{Line: r.Expanded, Before: h.continues, Shell: g.o.Shell, Directory: h.directory, Witness: Gate, Sure: solicited && !h.doubt && !twice}
	h.count = max(h.count, r.Count)
	h.awaited, h.solicited = time.Time{}, false
	g.held = true
	g.mu.Unlock()
	defer g.unhold()

	c.Unsure = twice
	if r.Truncated {
		c.Line, c.Unseen, c.Sure = "", true, false
	}
	v := g.o.Decide(ctx, c)
	if text := shown.Text; solicited && shown.Confidence == line.High && !shown.Secret && text != "" && text != r.Text && text != r.Expanded && !r.Truncated {
		// The witnesses contradict each other: what either saw must be permitted.
		c.Sure = false
		if other := g.o.Decide(ctx, Command{Line: text, Before: h.continues, Shell: c.Shell, Directory: c.Directory, Witness: Screen}); other.Action == auth.Deny && !other.Incomplete {
			v = other
		}
	}
	return g.conclude(ctx, decision{
		command: c, mark: mark,
		run: func(v Verdict) error {
			g.mu.Lock()
			g.hook.state, g.hook.continues = running, ""
			if v.Incomplete {
				g.hook.continues = g.continued(c)
			}
			if r.Function == "edit" {
				g.hook.state = atPrompt // what was edited is told next
			}
			g.mu.Unlock()
			_, err := g.sendUnless(mark, g.o.Gate.Reply(r.Count, true), false)
			return err
		},
		stay: func() error {
			_, err := g.sendUnless(mark, g.o.Gate.Reply(r.Count, false), false)
			return err
		},
	}, v)
}

// continued is what the gate's next line continues. zsh and fish tell it themselves.
func (g *Guard) continued(c Command) string {
	if g.o.Gate.Shell() != gate.Bash || len(c.Before)+len(c.Line) > maxPending {
		return "\n"
	}
	return c.Before + c.Line + "\n"
}

// plausible tells whether a line that the gate told can be the shell's: it is not while a program has the terminal.
func (g *Guard) plausible(ctx context.Context) bool {
	g.mu.Lock()
	state, continues, awaited := g.hook.state, g.hook.continues, g.hook.awaited
	g.mu.Unlock()
	if state == atPrompt || continues != "" || !awaited.IsZero() {
		return true
	}
	st, ok := g.state(ctx)
	return !ok || st.Own
}

func (g *Guard) doubted() {
	g.mu.Lock()
	g.hook.doubt = true
	g.mu.Unlock()
}

// viaGate releases a submit key to a shell whose gate will tell the line before it runs. A line that the screen takes
// for one that may not run is asked for first, so that no key is released on the gate's word alone.
func (g *Guard) viaGate(ctx context.Context, key byte) error {
	g.mu.Lock()
	mark := g.interrupts
	shown := g.tracker.Pending()
	continues, directory := g.hook.continues, g.hook.directory
	g.mu.Unlock()
	if key != '\r' && key != '\n' && (key != operateNext || g.o.Gate.Shell() == gate.Fish) {
		return g.flow() // the gate has every key that accepts a line
	}
	c := Command{Line: shown.Text, Before: continues, Shell: g.o.Shell, Directory: directory, Witness: Screen, Unsure: shown.Confidence != line.High, Unseen: shown.Secret}
	if g.o.Gate.Shell() != gate.Fish && shown.Text != "" {
		if v := g.o.Decide(ctx, c); v.Action == auth.Deny && !v.Incomplete {
			asked := c
			if r, ok := g.ask(ctx, mark, answerTime); ok {
				asked.Line, asked.Witness, asked.Unsure, asked.Unseen = r.Expanded, Gate, false, r.Truncated
				asked.Sure = r.Text == shown.Text
			} else {
				g.silent()
				asked.Unsure = true
			}
			if v = g.o.Decide(ctx, asked); v.Action == auth.Deny && !v.Incomplete {
				return g.conclude(ctx, decision{command: asked, mark: mark, held: true}, v)
			}
		}
	}
	g.mu.Lock()
	g.hook.awaited, g.hook.seen, g.hook.solicited = time.Now(), shown, true
	g.mu.Unlock()
	return g.release(mark)
}

// ask has the gate tell the pending line without submitting it. A prompt is told before the line editor has taken the
// terminal, which would show the keys until then.
func (g *Guard) ask(ctx context.Context, mark int, d time.Duration) (gate.Report, bool) {
	g.await(ctx, readyTime, func() bool { return g.outputAt.After(g.hook.promptAt) && time.Since(g.outputAt) > readyQuiet })
	g.mu.Lock()
	g.hook.answer, g.hook.asked = nil, true
	g.mu.Unlock()
	if sent, err := g.sendUnless(mark, g.o.Gate.Ask(), false); !sent || err != nil {
		return gate.Report{}, false
	}
	ok := g.await(ctx, d, func() bool { return g.hook.answer != nil || g.interrupts != mark })
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook.asked = false
	if !ok || g.hook.answer == nil {
		return gate.Report{}, false
	}
	return *g.hook.answer, true
}

// silent notes that the gate did not answer when it should have.
func (g *Guard) silent() {
	g.mu.Lock()
	g.hook.awaited, g.hook.solicited = time.Time{}, false
	g.hook.state = absent
	g.mu.Unlock()
}
