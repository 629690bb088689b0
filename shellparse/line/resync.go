package line

import (
	"bytes"
	"strings"

	"github.com/podbastion/podbastion/shellparse/screen"
)

// find looks for where a line begins whose first keys were sent before its prompt was shown: what stands before the text
// that they give.
func (t *Tracker) find() {
	end := t.lastRow()
	t.findIn(t.rowText(end), end, func(string) bool { return true })
}

// findBehindPrompt finds it only where an editor that announces itself reads, and nothing but a prompt stands between
// the place where it did and the text. What stands before that place may look like a prompt and a part of the line.
func (t *Tracker) findBehindPrompt(prompt func(text string) bool) {
	end := t.lastRow()
	row, skipped := t.rowText(end), 0
	if first := t.firstRow(end); t.openAt.Line >= first {
		skipped = min(len(t.rawTo(screen.Pos{Line: first}, t.openAt)), len(row))
	} else if t.openLast {
		return
	}
	t.findIn(row, end, func(before string) bool {
		if t.openLast { // what was put there before it did is no prompt
			return len(before) == skipped && t.shells.known(before, true)
		}
		return len(before) > skipped && prompt(before[skipped:])
	})
}

// findIn looks in a row's text.
func (t *Tracker) findIn(s string, end int, fits func(before string) bool) {
	for _, g := range t.guesses() {
		m := t.replay(t.queue, g.kind, g.vi)
		if !m.sure || len(m.text) == 0 {
			continue
		}
		n := matchLen(s, m.shows())
		if n == 0 || !fits(s[:len(s)-n]) {
			continue
		}
		e := &t.edit
		e.start = t.place(t.firstRow(end), len(s)-n)
		e.before = left(t.screen, e.start)
		e.prompt = t.promptText(e.before)
		e.wrapped = t.wrapped(e.start.Line)
		e.known, e.open = true, true
		t.echo.broken = true
		return
	}
}

// resync takes over the line from the screen, so that later keys are replayed from there.
func (t *Tracker) resync() {
	end := t.lastRow()
	r := t.read(t.queue, end, true)
	if r.matched && r.sure && len(r.keys) > 0 {
		t.edit.shown = true
	}
	if r.blind || t.edit.disturbed || r.matched && r.sure || halfKey(t.queue) {
		return
	}
	if shown := strings.TrimSpace(r.seen); r.sure && !r.matched && shown != "" && strings.HasPrefix(encode(r.keys), shown) {
		return // the echo lags behind
	}
	if r.spoilt && !r.sure {
		t.edit.lost = true
		t.queue = t.queue[:0]
		return
	}
	if r.sure && (t.disturbed(&r) || t.scrolled(&r)) {
		t.edit.disturbed = t.edit.disturbed || t.disturbed(&r)
		return
	}
	if !t.open && !t.kernel && bytes.ContainsAny(t.queue, "\x01\x02\x05\x06\t\x0b\x10\x19\x1b") {
		t.editor = true // the kernel would have shown these keys as they are
	}
	m := t.replay(t.queue, t.kind, t.vi)
	if t.open && t.echo.skewed && !t.echo.broken {
		t.onBelieved(false, t.adopt)
	} else {
		t.adopt()
	}
	t.edit.shown = true
	_, accepts := boundary(t.queue)
	t.edit.entered = accepts
	t.edit.based, t.edit.lost = true, t.more(end)
	t.edit.command = m.command
	t.queue = t.queue[:0]
}

// adopt makes what the screen shows the text from which later keys go on.
func (t *Tracker) adopt() {
	end := t.lastRow()
	start, _ := t.locate(end)
	cur := t.screen.Cursor()
	text := decode([]byte(strings.ReplaceAll(t.region(start, end, t.suggestion(cur, end)), string(rune(maybeBlank)), "")))
	before := decode([]byte(t.rawTo(start, cur)))
	if len(before) > len(text) {
		text = before // blanks at the end
	}
	t.edit.base = buffer{text, len(before)}
}
