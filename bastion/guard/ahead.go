package guard

import (
	"context"
	"time"

	"github.com/podbastion/podbastion/shellparse/screen"
)

// Keys that have an editor without a name for its state tell where its line begins, and the kernel what its line is.
const (
	toStart = 0x01
	toEnd   = 0x05
	reprint = 0x12
)

// goesAhead notes whether the keys that follow are typed ahead of the next prompt.
func (g *Guard) goesAhead(ahead bool) {
	g.ahead, g.early = ahead && g.o.Terminal != nil, nil
}

// noteAhead keeps keys that are typed ahead, and those behind them: what showed them then is no part of the line.
func (g *Guard) noteAhead(mark int, keys []byte) {
	if !g.ahead {
		return
	}
	if g.earlyMark != mark {
		g.early, g.earlyMark = nil, mark
	}
	if i := lastInterrupt(keys); i >= 0 {
		g.early, keys = nil, keys[i+1:]
	}
	if len(g.early)+len(keys) > maxPending {
		g.early = nil // it will not be found
		g.ahead = false
		return
	}
	g.early = append(g.early, keys...)
}

// find looks for the line that was typed ahead of the prompt that is there now.
func (g *Guard) find(ctx context.Context, mark int, st State) {
	keys := g.early
	g.mu.Lock()
	g.tracker.Concluded(g.submitted)
	if len(keys) == 0 || g.earlyMark != mark {
		g.mu.Unlock()
		return
	}
	g.tracker.Ahead(keys)
	editing, _ := g.tracker.Editing()
	end := g.tracker.Screen().Cursor()
	g.mu.Unlock()
	switch {
	case editing:
	case st.Canonical:
		at := screen.Pos{Line: end.Line + 1}
		if now, ok := g.press(ctx, mark, reprint); ok && now.Line >= at.Line {
			g.starts(at, keys)
		}
	case plainEditor(g.o.Shell, st):
		at, ok := g.press(ctx, mark, toStart)
		if !ok {
			return
		}
		g.starts(at, keys) // a line that is longer than its row hides the prompt when its end is shown
		if now, ok := g.press(ctx, mark, toEnd); !ok || now != end {
			g.mu.Lock()
			g.tracker.Ahead(keys)
			g.mu.Unlock()
		}
	}
}

// starts has the line model know where the line begins.
func (g *Guard) starts(at screen.Pos, keys []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tracker.Begins(at, keys)
}

// plainEditor knows the shells whose editors have these keys, and keep them.
func plainEditor(own string, st State) bool {
	name := own
	if !st.Own {
		name = st.Program
	}
	switch name {
	case "ash", "busybox", "sh", "mksh":
		return true
	}
	return false
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
