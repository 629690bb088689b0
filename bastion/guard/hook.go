package guard

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"
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
	more      bool   // the shell goes on reading: its next line continues what was let run
	continues string // the lines that the next one continues, where the shell does not tell them itself
	directory string
	at        string // the directory as it was when a submit key was released
	answer    *gate.Report
	asked     bool
	asks      int          // how often it was, without an answer yet
	recalls   int          // the line for which it is asked what the hook has read
	recalled  *gate.Report // and that is it
	awaited   time.Time    // when a submit key was released to it; zero when nothing is awaited
	seen      line.Line    // what the screen showed then
	typed     bool         // and whether anything had been typed
	solicited bool
	doubt     bool
	prompts   int
	promptAt  time.Time
	status    int
	finished  bool // status is new
	empty     bool // what runs is no command
	editing   bool // an editor has the line, which is told when it is done
	proven    bool // the line before was told in its turn, and nothing since is seen to change what keys do
	judged    *judged
	released  bool // a submit key was released and neither its line nor a prompt was told since
	mark      int  // the interrupts until then
}

// judged is a line that was judged and remembered before its submit key was released.
type judged struct {
	report  gate.Report
	verdict Verdict
}

// rebinds finds what may change what a submit key does.
var rebinds = regexp.MustCompile(`bind|zle|keymap|editing|INPUTRC|PROMPT|precmd|preexec|\b(eval|source|exec|trap|enable|builtin|command|stty|set)\b|(^|[;&|\s])\.\s`)

// reported is called with mu locked, in the order of the output.
func (g *Guard) reported(r gate.Report) {
	h := &g.hook
	switch r.Kind {
	case gate.Prompt:
		if r.Count < h.count {
			h.doubt = true
			return
		}
		h.finished = h.state == running && !h.empty
		if h.state != atPrompt { // fish tells a prompt again when it draws it anew: a key that was released meanwhile is still on its way
			h.awaited, h.solicited = time.Time{}, false
		}
		h.released = false
		h.state, h.more, h.continues, h.directory, h.status, h.doubt = atPrompt, false, "", r.Directory, r.Status, false
		h.prompts++
		h.editing = false
		h.promptAt = time.Now()
		if h.finished && g.o.Finished != nil {
			g.push(r)
		}
	case gate.Answer:
		late := h.asks > 0
		h.asks = max(0, h.asks-1)
		if !h.asked {
			h.doubt = h.doubt || !late // nobody asked
			return
		}
		h.answer = &r
	case gate.Keys:
		if h.recalls == 0 || r.Count != h.recalls {
			h.doubt = true
			return
		}
		h.recalled = &r
	case gate.Line, gate.Ready:
		h.editing, h.asks = false, 0 // what was asked before and is not answered was lost
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
		mark := g.hold()
		defer g.unhold()
		err := g.insist(ctx, mark, g.o.Gate.Go(), func() bool { return len(g.reports) > 0 || g.hook.state == absent })
		if g.mark() != mark {
			g.mu.Lock()
			g.hook.awaited = time.Time{}
			g.mu.Unlock()
		}
		return err
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
	if h.released && g.interrupts != h.mark {
		// Its hook has been interrupted, and would take an answer for keys, or began only after that and waits.
		h.awaited, h.solicited, h.released, h.judged = time.Time{}, false, false, nil
		prompts := h.prompts
		g.mu.Unlock()
		mark := g.hold()
		defer g.unhold()
		if err := g.send([]byte(interrupt)); err != nil {
			return err
		}
		// Keys wait until it has been taken: it would take some of them along.
		if !g.await(ctx, clearTime, func() bool { return h.prompts != prompts || g.interrupts != mark }) {
			g.emptyByGate(ctx)
		}
		return ctx.Err()
	}
	released := h.released
	h.released = false
	mark, shown, solicited, at := g.interrupts, h.seen, h.solicited, h.at
	twice := r.Count <= h.count
	c := Command{Line: r.Expanded, Before: h.continues, Shell: g.o.Shell, Witness: Gate, Sure: solicited && !h.doubt && !twice}
	h.count = max(h.count, r.Count)
	h.awaited, h.solicited = time.Time{}, false
	h.proven = c.Sure
	known := h.judged
	h.judged = nil
	g.held = true
	g.mu.Unlock()
	defer g.unhold()

	expected := c.Sure && shown.Confidence == line.High && (known != nil || strings.TrimSpace(shown.Text+r.Text) == "" || shown.Text != "" && agrees(shown.Text, r))
	if !expected && g.recall(ctx, mark, r.Count, released) {
		solicited, shown, known, c.Sure = false, line.Line{}, nil, false // the released key is of the next line
		g.mu.Lock()
		h.proven = false
		g.mu.Unlock()
	}
	if known != nil && c.Sure && r.Text == known.report.Text && r.Expanded == known.report.Expanded && r.Truncated == known.report.Truncated {
		if err := g.warn(decision{}, known.verdict); err != nil {
			return err
		}
		g.started(g.last.Line)
		return g.letRun(ctx, mark, r, known.verdict, g.last)
	}
	contradicted := shown.Confidence == line.High && strings.TrimSpace(shown.Text) != ""
	if strings.TrimSpace(r.Text+r.Expanded) == "" && c.Before == "" && !contradicted && !r.Truncated {
		return g.letRun(ctx, mark, r, Verdict{}, c) // an empty line is no command
	}
	if c.Directory = at; !solicited {
		c.Directory = g.directory(ctx)
	}
	c.Unsure = twice
	if g.altered(r) {
		c.Line, c.Typed, c.Sure, c.Unsure = r.Text, r.Expanded, false, true
	}
	if r.Truncated {
		c.Line, c.Unseen, c.Sure = "", true, false
	}
	v := g.o.Decide(ctx, c)
	if text := shown.Text; solicited && shown.Confidence == line.High && !shown.Secret && !r.Truncated && !agrees(text, r) {
		// The witnesses contradict each other: what either saw must be permitted.
		c.Sure = false
		if other := g.o.Decide(ctx, Command{Line: text, Before: h.continues, Shell: c.Shell, Directory: c.Directory, Witness: Screen}); other.Action == auth.Deny && !other.Incomplete {
			v = other
		}
	}
	return g.conclude(ctx, decision{
		command: c, mark: mark,
		run: func(v Verdict) error { return g.letRun(ctx, mark, r, v, c) },
		stay: func() error {
			_, err := g.sendUnless(mark, g.o.Gate.Reply(r.Count, false), false)
			return err
		},
	}, v)
}

// recall takes back what was forwarded before it was known that a line waits for its verdict, as a key of the user's
// own submits one: the hook has read it, and it is of the next line. True when the released submit key is among it.
func (g *Guard) recall(ctx context.Context, mark, count int, released bool) bool {
	word := g.o.Gate.Recall(count)
	if word == nil {
		return false
	}
	g.mu.Lock()
	g.hook.recalls, g.hook.recalled = count, nil
	prompts := g.hook.prompts
	g.mu.Unlock()
	sent, err := g.sendUnless(mark, word, false)
	told := sent && err == nil && g.await(ctx, answerTime, func() bool { return g.hook.recalled != nil || g.interrupts != mark || g.hook.prompts != prompts })
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.hook.recalled
	g.hook.recalls, g.hook.recalled = 0, nil
	if !told || r == nil || g.interrupts != mark || g.lineMark != mark {
		return false
	}
	forwarded := g.line
	if released {
		forwarded = append(forwarded, g.previous)
	}
	read := strings.ReplaceAll(r.Text, string(g.o.Gate.Ask()), "")
	at := len(forwarded) - len(read)
	if read == "" || at < 0 || strings.ReplaceAll(string(forwarded[at:]), "\r", "\n") != strings.ReplaceAll(read, "\r", "\n") {
		return false // where it reads, Enter may be either
	}
	g.giveBack(forwarded[:at], forwarded[at:])
	return released
}

// agrees tells that a text that the screen shows can be the line that the gate told, or the last of its rows. Blanks at
// the end do not show.
func agrees(text string, r gate.Report) bool {
	text = strings.TrimRight(text, " ")
	told := strings.TrimRight(r.Text, " ")
	return text == "" || text == told || text == strings.TrimRight(r.Expanded, " ") || strings.HasSuffix(told, "\n"+text)
}

// altered tells that the gate expands what holds no reference to an earlier line, or that an expansion is not to be
// believed: somebody has changed the gate. The shell may run the text, whatever the expansion is said to be.
func (g *Guard) altered(r gate.Report) bool {
	return r.Text != r.Expanded && r.Function != "edit" && (g.tampered || !strings.ContainsAny(r.Text, "!^"))
}

// directory is the working directory of the shell's own process, where the node tells it: the gate's word can be made up.
func (g *Guard) directory(ctx context.Context) string {
	if g.o.Terminal != nil {
		if st, known := g.state(ctx); known && st.Own {
			return st.Directory
		}
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hook.directory
}

// letRun answers that a told line runs.
func (g *Guard) letRun(ctx context.Context, mark int, r gate.Report, v Verdict, c Command) error {
	g.mu.Lock()
	h := &g.hook
	h.state, h.more, h.continues, h.empty = running, v.Incomplete, "", c.Line == "" && !c.Unseen
	h.proven = h.proven && !v.Replaces && len(v.Defines) == 0 && !rebinds.MatchString(c.Before+c.Line)
	if v.Incomplete && g.o.Gate.Shell() == gate.Bash && len(c.Before)+len(c.Line) < maxPending { // the others tell it themselves
		h.continues = c.Before + c.Line + "\n"
	}
	if r.Function == "edit" {
		h.state, h.editing = atPrompt, true // what was edited is told next
	}
	ends := g.ends
	g.mu.Unlock()
	reply := g.o.Gate.Reply(r.Count, true)
	if g.o.Gate.Shell() != gate.Fish || v.Incomplete {
		_, err := g.sendUnless(mark, reply, false)
		return err
	}
	return g.insist(ctx, mark, reply, func() bool { return g.ends != ends || g.hook.state != running })
}

// insist sends fish a key of its hook and waits until it is seen to act on it; done is called with mu locked. Unlike the
// others' its hook does not read the terminal, and on a busy machine a key was lost behind an interrupt. Where fish waits
// for keys at its prompt all the same it is pressed again.
func (g *Guard) insist(ctx context.Context, mark int, key []byte, done func() bool) error {
	for began := time.Now(); ; {
		if sent, err := g.sendUnless(mark, key, false); !sent || err != nil {
			return err
		}
		for lost := false; !lost; {
			if g.await(ctx, lostTime, func() bool { return done() || g.interrupts != mark }) || ctx.Err() != nil || g.closed() || time.Since(began) > answerTime {
				return ctx.Err()
			}
			st, known := g.state(ctx)
			if !known || !st.Own || st.Canonical {
				return ctx.Err()
			}
			lost = st.Reading && st.Unread == 0 // else it is at work on it
		}
	}
}

// plausible tells whether a line that the gate told can be the shell's: it is not while a program has the terminal.
func (g *Guard) plausible(ctx context.Context) bool {
	g.mu.Lock()
	state, more, awaited := g.hook.state, g.hook.more, g.hook.awaited
	g.mu.Unlock()
	if state == atPrompt || more || !awaited.IsZero() {
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
// for one that may not run is asked for first, so that no key is released on the gate's word alone. So is a line where
// the gate has not shown yet that submit keys reach it: it is judged and remembered before the key is released.
func (g *Guard) viaGate(ctx context.Context, key byte) error {
	mark := g.mark()
	if key != '\r' && key != '\n' && (key != operateNext || g.o.Gate.Shell() == gate.Fish) {
		if key == '\t' || key == sendBreak || g.previous == 0x1b || g.previous == 0x18 {
			return g.pass(mark)
		}
		g.noteLine(mark, []byte{key})
		return g.flow() // the gate has every key that accepts a line
	}
	g.echoed(ctx, mark)
	if g.overtaken(mark) {
		return nil
	}
	g.mu.Lock()
	shown := g.tracker.Pending()
	continues := g.hook.continues
	unproven := !g.hook.proven && !g.pasting && (shown.Text != "" || g.typed)
	g.mu.Unlock()
	c := Command{Line: shown.Text, Before: continues, Shell: g.o.Shell, Directory: g.directory(ctx), Witness: Screen, Unsure: shown.Confidence != line.High, Unseen: shown.Secret, Typed: shown.Typed}
	// Within a paste nothing can be asked, since a shell may take all of it for text: there only a line that is sure is
	// denied. Fish's key only has it tell the line.
	if g.o.Gate.Shell() != gate.Fish && (shown.Text != "" && (!g.pasting || !c.Unsure) || unproven) {
		v := g.o.Decide(ctx, c)
		if denied := v.Action == auth.Deny && !v.Incomplete; denied || unproven {
			asked := c
			var r gate.Report
			if g.pasting {
				asked.Sure = true
			} else if told, ok := g.ask(ctx, mark, answerTime); ok {
				r = told
				asked.Line, asked.Witness, asked.Unsure, asked.Unseen = r.Expanded, Gate, false, r.Truncated
				asked.Sure = r.Text == shown.Text || unproven && (shown.Confidence != line.High || agrees(shown.Text, r))
				if g.altered(r) {
					asked.Line, asked.Typed, asked.Sure, asked.Unsure = r.Text, r.Expanded, false, true
				}
			} else if g.overtaken(mark) {
				return nil
			} else if g.silent(); unproven {
				return nil // it goes by what the screen shows
			} else {
				asked.Unsure = true
			}
			v = g.o.Decide(ctx, asked)
			switch {
			case v.Action == auth.Deny && !v.Incomplete:
				return g.conclude(ctx, decision{command: asked, mark: mark, held: true}, v)
			case unproven && asked.Sure && v.Action != auth.Deny && (strings.TrimSpace(asked.Line) != "" || asked.Unseen):
				return g.conclude(ctx, decision{command: asked, mark: mark, held: true, later: true, run: func(v Verdict) error {
					return g.submitTo(mark, shown, c.Directory, &judged{r, v})
				}}, v)
			}
		}
	}
	return g.submitTo(mark, shown, c.Directory, nil)
}

// submitTo releases a submit key for the gate to tell the line.
func (g *Guard) submitTo(mark int, shown line.Line, at string, known *judged) error {
	g.mu.Lock()
	g.hook.awaited, g.hook.seen, g.hook.solicited, g.hook.typed, g.hook.at = time.Now(), shown, true, g.typed, at
	g.hook.judged, g.hook.mark, g.hook.released = known, mark, true
	g.mu.Unlock()
	return g.release(mark)
}

// echoed waits until the screen shows what was typed, so that it can bear witness; within a paste it may show nothing.
func (g *Guard) echoed(ctx context.Context, mark int) {
	g.mu.Lock()
	settled := g.outputAt.After(g.keyAt) && time.Since(g.outputAt) > quietKnown
	g.mu.Unlock()
	if g.typed && !g.pasting && !settled {
		g.calmed(ctx, mark)
	}
}

// ready waits until the line editor has taken the terminal, which shows the keys as they are until then: a prompt is
// told before that. True when the node has said that it waits for keys.
func (g *Guard) ready(ctx context.Context, mark int) bool {
	for began := time.Now(); g.mark() == mark && time.Since(began) < editorTime && ctx.Err() == nil && !g.closed(); {
		st, known := g.state(ctx)
		if !known {
			g.await(ctx, readyTime, func() bool { return g.outputAt.After(g.hook.promptAt) && time.Since(g.outputAt) > readyQuiet })
			return false
		}
		if !st.Own {
			return false
		}
		if !st.Canonical && st.Reading && !g.await(ctx, readyQuiet, func() bool { return time.Since(g.outputAt) < readyQuiet || g.interrupts != mark }) {
			return true
		}
		g.await(ctx, pollShort, func() bool { return g.interrupts != mark })
	}
	return false
}

// edits forwards keys to the editor that has the line. When it is done the hook reads the terminal: keys wait for what it
// tells.
func (g *Guard) edits(ctx context.Context) error {
	began := time.Now()
	for ctx.Err() == nil && !g.closed() {
		st, known := g.state(ctx)
		switch {
		case known && !st.Own && st.Reading, !known && (g.o.Terminal == nil || time.Since(began) > ownTime):
			g.mu.Lock()
			keys := bytes.Clone(g.queue)
			g.consume(len(keys))
			g.mu.Unlock()
			return g.tell(keys)
		case !known: // the node looked between two programs
		case !st.Own:
			began = time.Now()
		case time.Since(began) > ownTime: // it was interrupted
			g.mu.Lock()
			g.hook.editing = false
			g.mu.Unlock()
			return nil
		}
		if g.await(ctx, pollLong/2, func() bool { return !g.hook.editing || len(g.reports) > 0 }) {
			return nil
		}
	}
	return ctx.Err()
}

// ask has the gate tell the pending line without submitting it. It does not while a line waits for its verdict.
func (g *Guard) ask(ctx context.Context, mark int, d time.Duration) (gate.Report, bool) {
	g.ready(ctx, mark)
	g.mu.Lock()
	g.hook.answer, g.hook.asked = nil, true
	g.hook.asks++
	g.mu.Unlock()
	if sent, err := g.sendUnless(mark, g.o.Gate.Ask(), false); !sent || err != nil {
		return gate.Report{}, false
	}
	ok := g.await(ctx, d, func() bool { return g.hook.answer != nil || g.interrupts != mark || g.undecided() })
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook.asked = false
	if !ok || g.hook.answer == nil {
		return gate.Report{}, false
	}
	return *g.hook.answer, true
}

// overtaken tells that something else is to be done before the held key: an interrupt came, or the gate has told a line,
// which a key of the user's own has submitted.
func (g *Guard) overtaken(mark int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.interrupts != mark || g.undecided()
}

// undecided tells that the gate has told a line that is not decided yet; mu is locked.
func (g *Guard) undecided() bool {
	return slices.ContainsFunc(g.reports, func(r gate.Report) bool { return r.Kind == gate.Line })
}

// silent notes that the gate did not answer when it should have.
func (g *Guard) silent() {
	g.mu.Lock()
	g.hook.awaited, g.hook.solicited, g.hook.proven = time.Time{}, false, false
	g.hook.state = absent
	g.mu.Unlock()
}
