package guard

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/guard/gate"
	"github.com/podbastion/podbastion/shellparse/keyfile"
)

// How a denied line is cleared.
const (
	interrupt  = "\x03"
	clearTime  = 150 * time.Millisecond // for a shell to do what an interrupt does
	clearTries = 8
	workTime   = 2 * time.Second // for which a shell may be at work on it
	redrawTime = 5 * time.Millisecond
)

// decision is a command on its way to being carried out.
type decision struct {
	command Command
	mark    int  // the interrupts so far: another one takes the command away
	held    bool // its submit key is still in the queue
	later   bool // the gate will tell it again, and the user is warned then
	// run lets it run.
	run func(v Verdict) error
	// stay tells the gate that it does not run; nil where no gate waits.
	stay func() error
}

// conclude remembers a verdict and carries it out.
func (g *Guard) conclude(ctx context.Context, d decision, v Verdict) error {
	if d.command.Unseen {
		d.command.Line = ""
	}
	if err := g.o.Record(ctx, d.command, v); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v = Verdict{Action: auth.Deny, Reason: "the command could not be remembered"}
	}
	if v.Action != auth.Deny {
		if !d.later {
			if err := g.warn(d, v); err != nil {
				return err
			}
		}
		g.last = d.command
		g.replaced, g.tampered = g.replaced || v.Replaces, g.tampered || v.Tampers
		g.begins = v.StartsShell
		g.bound.add(d.command.Shell, keyfile.Vi(d.command.Line, d.command.Shell))
		g.started(d.command.Line)
		return d.run(v)
	}
	if d.stay != nil {
		if err := d.stay(); err != nil {
			return err
		}
		g.redrawn(ctx)
	}
	if g.mark() != d.mark {
		return nil // the user's own interrupt has cleared it
	}
	if d.held {
		g.mu.Lock()
		if len(g.queue) > 0 {
			g.takeHeld()
		}
		g.mu.Unlock()
	}
	return g.clear(ctx, d, v)
}

// warn tells the user what there is to be told of a command that runs, and of what ran before it without its verdict.
func (g *Guard) warn(d decision, v Verdict) error {
	if owed := g.owed; owed.Action == auth.Warn {
		g.owed = Verdict{}
		if err := g.notice(d, "warning of what ran before", owed); err != nil {
			return err
		}
	}
	if v.Action != auth.Warn {
		return nil
	}
	return g.notice(d, "warning", v)
}

// redrawn waits until the shell has drawn the line again that its hook had taken off the screen.
func (g *Guard) redrawn(ctx context.Context) {
	before, limit := g.outputCount(), clearTime
	if g.o.Gate.Shell() == gate.Bash { // it draws in any case, and an interrupt that came first would take the answer away
		limit = workTime
	}
	g.await(ctx, limit, func() bool { return g.outputs != before })
	// A shell on a busy machine may not have read the answer yet: interrupted there, its editor would take the rest for text.
	for began := time.Now(); time.Since(began) < workTime && ctx.Err() == nil && !g.closed(); {
		if st, known := g.state(ctx); !known || st.Unread == 0 {
			break
		}
		g.await(ctx, pollShort, func() bool { return false })
	}
	g.await(ctx, redrawTime, func() bool { return false })
}

func (g *Guard) outputCount() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.outputs
}

// clear takes a denied line away with the one key that every shell honours, verifies that it is gone, and tells why.
func (g *Guard) clear(ctx context.Context, d decision, v Verdict) error {
	g.pending, g.typed, g.completes, g.coded = "", false, false, false
	g.newLine()
	g.mu.Lock()
	right := g.tracker.RightPrompt()
	g.unwatch()
	g.mu.Unlock()
	if g.discard = g.pasting; g.discard { // the rest of a paste belongs to the line
		g.mu.Lock()
		g.tracker.Keys([]byte(pasteEnd))
		g.mu.Unlock()
	}
	if err := g.notice(d, "denied", v); err != nil {
		return err
	}
	began := time.Now()
	if cleared, err := g.clearByGate(ctx); cleared || err != nil {
		g.cleared(ctx, began)
		return err
	}
	row, _ := g.row()
	for try := range clearTries {
		if try > 0 && d.command.Shell == "fish" { // it draws no new prompt where there is nothing to take away
			if err := g.send([]byte(" ")); err != nil {
				return err
			}
			g.calmed(ctx, g.mark())
		}
		before := g.outputCount()
		if g.pasting { // a shell may read a paste to its end, come what may; behind an interrupt the end may be text
			if err := g.tell([]byte(pasteEnd)); err != nil {
				return err
			}
		}
		if err := g.send([]byte(interrupt)); err != nil {
			return err
		}
		if g.gone(ctx, row, before, right) {
			g.cleared(ctx, began)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	_ = g.show([]byte("\r\nbastion: the line could not be cleared; the session ends\r\n")) // it ends either way
	return ErrNotCleared
}

// cleared waits until the prompt is there again, where the next line begins.
func (g *Guard) cleared(ctx context.Context, began time.Time) {
	drawn := g.outputSince(later(began, g.lastKey()))
	drawn.prompt = true
	g.calm(ctx, g.mark(), drawn, clearTime, clearTime)
	g.mu.Lock()
	g.tracker.Forget()
	g.mu.Unlock()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// clearByGate has the hook empty a line that continues no other.
func (g *Guard) clearByGate(ctx context.Context) (bool, error) {
	g.mu.Lock()
	able := g.hook.state == atPrompt && !g.pasting && g.o.Gate.Clear() != nil
	g.mu.Unlock()
	if !able {
		return false, nil
	}
	g.mu.Lock()
	g.tracker.Output([]byte("\r\n"))
	g.mu.Unlock()
	if err := g.show([]byte("\r\n")); err != nil {
		return false, err
	}
	if err := g.tell(g.o.Gate.Clear()); err != nil {
		return false, err
	}
	r, ok := g.ask(ctx, g.mark(), answerTime)
	if !ok || r.Text != "" {
		return false, nil
	}
	g.mu.Lock()
	g.tracker.Keys([]byte(interrupt)) // the line is gone for it too
	g.mu.Unlock()
	return true, nil
}

// row is where the line stands, and how much was output so far.
func (g *Guard) row() (row, outputs int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tracker.Screen().Cursor().Line, g.outputs
}

// gone verifies that the shell's line is empty again.
func (g *Guard) gone(ctx context.Context, row, before int, right string) bool {
	g.mu.Lock()
	alive := g.hook.state == atPrompt || g.hook.state == running && g.hook.more
	prompts := g.hook.prompts
	g.mu.Unlock()
	if alive {
		g.await(ctx, clearTime, func() bool { return g.hook.prompts != prompts })
		return g.emptyByGate(ctx)
	}
	g.await(ctx, clearTime, func() bool { return g.outputs != before })
	empty := g.emptyByScreen(ctx, row, right)
	if empty {
		g.forget()
	}
	return empty
}

// emptyByGate asks until it is told: keys that come at the moment of an interrupt may be lost, and bash may finish
// what an interrupt began only with the next key.
func (g *Guard) emptyByGate(ctx context.Context) bool {
	for patience := clearTime; patience < workTime; patience *= 2 { // a busy machine takes longer, and another interrupt would only begin it anew
		r, ok := g.ask(ctx, g.mark(), patience)
		if ok {
			g.answered(ctx)
			g.mu.Lock()
			g.hook.more, g.hook.continues = false, ""
			if g.hook.state == running {
				g.hook.state = atPrompt
			}
			g.mu.Unlock()
			return r.Text == ""
		}
		if err := g.refuseTold(); err != nil || ctx.Err() != nil {
			return false
		}
	}
	return false
}

// answered waits until what was asked more than once was answered as often, or is seen to be lost: a late answer would be
// taken for one about the next line.
func (g *Guard) answered(ctx context.Context) {
	for began := time.Now(); time.Since(began) < workTime && ctx.Err() == nil && !g.closed(); {
		if g.await(ctx, pollLong, func() bool { return g.hook.asks == 0 }) {
			return
		}
		if st, known := g.state(ctx); !known && time.Since(began) > clearTime || known && st.Reading && st.Unread == 0 {
			g.await(ctx, quietKnown, func() bool { return g.hook.asks == 0 }) // what it wrote before it waited may be on its way
			return
		}
	}
}

// refuseTold answers lines that the gate tells while another one is being cleared.
func (g *Guard) refuseTold() error {
	g.mu.Lock()
	reports := g.reports
	g.reports = nil
	g.mu.Unlock()
	for _, r := range reports {
		if r.Kind != gate.Line {
			continue
		}
		if err := g.tell(g.o.Gate.Reply(r.Count, false)); err != nil {
			return err
		}
	}
	return nil
}

// emptyByScreen looks for a new prompt with nothing behind it but its right prompt, and has the node say that the shell waits at it.
func (g *Guard) emptyByScreen(ctx context.Context, row int, right string) bool {
	mark := g.mark()
	for began := time.Now(); time.Since(began) < workTime && g.calm(ctx, mark, g.outputSince(g.lastKey()), clearTime, workTime); {
		g.mu.Lock()
		at, before := g.tracker.Screen().Cursor(), g.outputs
		empty := at.Line > row && g.tracker.Bare(right)
		g.mu.Unlock()
		if empty {
			return true
		}
		if !g.await(ctx, clearTime, func() bool { return g.outputs != before }) { // the prompt may be on its way
			return false
		}
	}
	return false
}

// notice tells the user on their terminal. It begins on a row of its own.
func (g *Guard) notice(d decision, what string, v Verdict) error {
	var b strings.Builder
	if d.held || what == "denied" {
		b.WriteString("\r\n")
	}
	b.WriteString("bastion: " + what + because(v))
	text := strings.Map(func(r rune) rune {
		if r != '\r' && r != '\n' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, b.String())
	if !d.held && what != "denied" {
		text += "\r\n"
	}
	g.mu.Lock()
	g.tracker.Output([]byte(text))
	g.mu.Unlock()
	return g.show([]byte(text))
}
