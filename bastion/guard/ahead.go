package guard

import (
	"context"
	"time"

	"github.com/podbastion/podbastion/shellparse/line"
	"github.com/podbastion/podbastion/shellparse/screen"
)

// Keys that have an editor without a name for its state tell where its line begins, and the kernel what its line is.
const (
	toStart = 0x01
	toEnd   = 0x05
	reprint = 0x12
)

// newLine forgets the keys of the line before.
func (g *Guard) newLine() { g.line, g.tooLong, g.bound.vi = nil, false, viMode{} }

// noteLine keeps the keys of a line: some of them may be typed ahead of its prompt, and what showed them then is no part of
// the line.
func (g *Guard) noteLine(mark int, keys []byte) {
	if g.lineMark != mark {
		g.newLine()
		g.lineMark = mark
	}
	if i := lastInterrupt(keys); i >= 0 {
		g.newLine()
		keys = keys[i+1:]
	}
	if g.tooLong = g.tooLong || len(g.line)+len(keys) > maxPending; g.tooLong {
		g.line = nil
		return
	}
	g.line = append(g.line, keys...)
}

// found looks for a line that the screen alone does not tell: some editors write it again, and one that was typed
// ahead is looked for behind the prompt that is there now. It has looked at the whole unless something came between.
func (g *Guard) found(ctx context.Context, mark int, st State, shown line.Line) (l line.Line, whole bool) {
	if !shown.Secret && !st.Canonical && writesAgain(st) {
		if text, ok := g.rewritten(ctx, mark); ok {
			return line.Line{Text: text, Witness: line.Screen, Confidence: line.High}, true
		}
	}
	if len(g.line) == 0 || g.lineMark != mark || g.stacked || shown.Completed || st.Canonical && !st.Echo {
		return line.Line{}, true
	}
	at, ok := g.beginning(ctx, mark, st)
	if !ok {
		return line.Line{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	l, _ = g.tracker.Find(g.submitted, g.line, at)
	return l, true
}

// beginning asks where the line begins; nil where an editor has announced that.
func (g *Guard) beginning(ctx context.Context, mark int, st State) (*screen.Pos, bool) {
	g.mu.Lock()
	editing, _ := g.tracker.Editing()
	end := g.tracker.Screen().Cursor()
	g.mu.Unlock()
	switch {
	case editing:
		return nil, true
	case st.Canonical:
		at := screen.Pos{Line: end.Line + 1}
		now, ok := g.press(ctx, mark, reprint)
		return &at, ok && now.Line >= at.Line
	case writesAgain(st):
		at, ok := g.press(ctx, mark, toStart)
		now, again := g.press(ctx, mark, toEnd)
		return &at, ok && again && now == end
	}
	return nil, false
}

// writesAgain knows the editors that have both keys, and write what the second one goes over.
func writesAgain(st State) bool { return st.Busybox || st.Program == "mksh" }

// rewritten has such an editor write its line again: ^A goes to the beginning, and ^E writes all that it goes over. It is
// the line, whatever the screen showed before, while nobody but the shell can write.
func (g *Guard) rewritten(ctx context.Context, mark int) (string, bool) {
	if !g.isAlone() {
		return "", false
	}
	g.mu.Lock()
	end := g.tracker.Screen().Cursor()
	g.mu.Unlock()
	start, ok := g.press(ctx, mark, toStart)
	g.mu.Lock()
	g.listens, g.heard = true, nil
	g.mu.Unlock()
	now, again := g.press(ctx, mark, toEnd)
	g.mu.Lock()
	text := g.heard
	g.listens, g.heard = false, nil
	g.mu.Unlock()
	if !ok || !again || now != end || len(text) != end.Col-start.Col || start.Line != end.Line {
		return "", false
	}
	for _, b := range text {
		if b < ' ' || b > '~' || b == '?' || b == '^' { // it may move the cursor, or stand for what is not shown
			return "", false
		}
	}
	return string(text), g.isAlone()
}

// press sends a key of the guard's own, and tells where the cursor is once it was taken.
func (g *Guard) press(ctx context.Context, mark int, key byte) (screen.Pos, bool) {
	began := time.Now()
	sent, err := g.sendUnless(mark, []byte{key}, false)
	ok := sent && err == nil && g.calm(ctx, mark, g.outputSince(began), settleTime, busyTime)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tracker.Screen().Cursor(), ok
}
