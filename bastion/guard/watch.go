package guard

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/podbastion/podbastion/auth"
)

// A shell without a gate may have keys that do more than it seems: a macro that ends in Enter, vi mode's `v`, a key that
// accepts. What they run has no verdict. While nothing was released to such a shell its prompt is watched, so that it
// is at least noticed.
type watch struct {
	on      bool
	mark    int  // the interrupts so far
	editor  bool // its editor announces when it begins and stops to read
	begun   int  // how often one had begun
	row     int  // where the prompt is
	prompt  string
	ends    int       // the line ends until then
	outputs int       // and the output that was looked at since
	looks   int       // how often it was looked at as it came
	let     int       // how often an editor had begun when the newest key was released
	letAt   time.Time // when that was
	tried   time.Time // when the node was last asked whether it may begin
	stopped bool      // what takes the prompt away was pressed: nothing of the line is submitted
}

// watchPrompt begins to watch where a shell without a gate waits for keys and has none. A terminal's own lines end with
// keys that are held, and so do busybox's, whose keys nobody can bind; on an alternate screen a multiplexer draws what several shells do.
func (g *Guard) watchPrompt() {
	g.mu.Lock()
	w := &g.watch
	wanted := !w.on && !g.hooked() && time.Since(w.tried) > lookTime
	garbled := w.on && !w.editor && g.ends != w.ends && !g.prompted()
	g.mu.Unlock()
	if garbled {
		g.disturbed()
	}
	if !wanted || g.o.Terminal == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	st, known := g.state(ctx)
	answers := known
	for !g.typed && known && (st.Own || st.Shell) && !st.Canonical && (!st.Reading || st.Unread > 0) && !g.await(ctx, pollShort, func() bool { return false }) && ctx.Err() == nil {
		st, known = g.state(ctx) // it is at work, and would not show a first key now either
	}
	due := g.promptDue()
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.tried = time.Now(); !answers {
		w.tried = w.tried.Add(stateTime) // a key does not wait for a node that does not answer
	}
	if !known {
		return
	}
	now, begun := g.tracker.Editing()
	stale := now && begun == w.let && !w.stopped && time.Since(w.letAt) < workTime // its prompt is on its way
	if st.Canonical || st.Busybox || !st.Reading || st.Unread > 0 || st.Unsure || !st.Own && !st.Shell || st.Own && due || stale || g.tracker.Screen().Alt() {
		return
	}
	w.on, w.mark, w.editor, w.begun, w.ends, w.looks = true, g.interrupts, now, begun, g.ends, 0
	w.row, w.prompt = g.tracker.Place()
}

// prompted tells that the cursor is behind the watched prompt; mu is locked.
func (g *Guard) prompted() bool {
	row, _ := g.tracker.Place()
	_, same := g.tracker.Shown(row, g.watch.prompt)
	return same
}

// disturbed has what was written over a prompt where the shell waits all the same count no more: that is another's, a
// job's as a rule, and the next key may draw the prompt anew.
func (g *Guard) disturbed() {
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	if st, known := g.state(ctx); !known || !st.Reading || st.Unread > 0 || !st.Own && !st.Shell {
		return
	}
	asked := time.Now()
	g.await(ctx, lookTime, func() bool { return time.Since(asked) > quietKnown && time.Since(g.outputAt) > quietKnown }) // what it wrote before it waited may be on its way
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.prompted() && ctx.Err() == nil {
		g.watch.ends = g.ends
	}
}

func (g *Guard) watching() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.watch.on
}

// unwatch is told that a key was let go to whoever reads; mu is locked.
func (g *Guard) unwatch() {
	w := &g.watch
	w.on, w.letAt, w.tried = false, time.Now(), time.Time{}
	_, w.let = g.tracker.Editing()
}

// hooked tells that the gate tells of the line, or may be heard yet; mu is locked.
func (g *Guard) hooked() bool {
	h := &g.hook
	return h.state == atPrompt || h.state == running && h.more || h.state == starting && time.Since(g.began) < startTime
}

// escaped tells that the watched shell has left its prompt though nothing was released; mu is locked. A shell whose
// editor announces itself begins anew. Any other shows the same prompt on a lower row, and less behind it: a list of
// completions, a notice or a redrawn screen is followed by the line as it was.
func (g *Guard) escaped() bool {
	w := &g.watch
	now, begun := g.tracker.Editing()
	switch {
	case !w.on:
		return false
	case g.hooked():
		w.on = false
		return false
	case w.editor:
		return begun > w.begun
	case now:
		w.editor, w.begun = true, begun // it came late
		return false
	case g.ends == w.ends || g.outputs == w.outputs || time.Since(g.outputAt) < quietKnown || strings.TrimSpace(w.prompt) == "":
		return false
	}
	w.outputs = g.outputs
	lower, same := g.lower()
	return lower && !same
}

// lower tells that the watched prompt stands on a lower row, and whether the line behind it begins as it was; then it is watched
// there. mu is locked.
func (g *Guard) lower() (lower, same bool) {
	w := &g.watch
	row, _ := g.tracker.Place()
	line, shown := g.tracker.Shown(row, w.prompt)
	if row <= w.row || !shown {
		return false, false
	}
	was, _ := g.tracker.Shown(w.row, w.prompt)
	if same = strings.HasPrefix(line, was); same {
		w.row, w.ends = row, g.ends
	}
	return true, same
}

// draw follows output; mu is locked. What an editor draws below a list is the line as it was, and keys right behind may have
// changed it by the end of the output: so it is looked for as it comes.
func (g *Guard) draw(p []byte) {
	w := &g.watch
	for w.on && !w.editor && w.looks < maxHeard && len(p) > 0 {
		n := 1
		if g.ends == w.ends {
			if n += bytes.IndexByte(p, '\n'); n == 0 {
				break
			}
		}
		g.tracker.Output(p[:n])
		if p[n-1] == '\n' {
			g.ends++
		} else if strings.TrimSpace(w.prompt) != "" {
			g.lower()
		}
		w.looks++
		p = p[n:]
	}
	g.tracker.Output(p)
	g.ends += bytes.Count(p, []byte{'\n'})
}

// left tells that a program has the terminal of a shell that was watched: it has stopped to read, so that this is no
// program that a key of its editor has started.
func (g *Guard) left() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, _ := g.tracker.Editing()
	return g.watch.on && g.interrupts == g.watch.mark && (!g.watch.editor || !now)
}

// unseen judges what the watched shell ran. It cannot be taken back.
func (g *Guard) unseen(ctx context.Context) error {
	g.mu.Lock()
	line, _ := g.tracker.Shown(g.watch.row, g.watch.prompt)
	g.mu.Unlock()
	c := Command{Line: line, Shell: g.o.Shell, Witness: Screen, Unsure: true, Unseen: line == ""}
	if st, known := g.state(ctx); known && st.Shell {
		c.Shell = st.Program
	}
	g.started(line)
	g.forget()
	return g.happened(ctx, c)
}

// happened records what may have run without its verdict, and ends the session where that would have been denied.
func (g *Guard) happened(ctx context.Context, c Command) error {
	v := g.o.Decide(ctx, c)
	if err := g.o.Record(ctx, c, v); err != nil {
		return err
	}
	if v.Action == auth.Deny {
		return &Denied{Verdict: v}
	}
	if v.Action == auth.Warn {
		g.owed = v // what is written at a prompt would become a part of it
	}
	return nil
}

// stops notes that a key was let go that takes the prompt away and submits nothing: another prompt may follow, before
// which nothing more is forwarded.
func (g *Guard) stops() {
	g.started("")
	g.mu.Lock()
	g.watch.stopped = true
	g.mu.Unlock()
}
