package line

import (
	"bytes"
	"strings"
)

// Modes that line editors switch on around their prompt.
const (
	modeCursorKeys     = 1
	modeBracketedPaste = 2004
)

func (t *Tracker) onMode(mode int, on bool) {
	if mode != modeCursorKeys && mode != modeBracketedPaste || t.foreign() {
		return
	}
	if on {
		t.openAt = t.screen.Cursor()
		if !t.open {
			t.open, t.openBy = true, mode
			t.opens++
			t.hear()
			t.opened()
		}
		return
	}
	if t.open {
		t.heard()
		t.closing()
	}
}

func (t *Tracker) onClear() { t.lf.valid = false }

// opened tells that an editor begins to read. What was typed before goes to it, if no program took it.
func (t *Tracker) opened() {
	t.conclude(0, true)
	t.expand.active = false
	t.external = false
	if len(t.limbo) > 0 {
		var q []byte
		for _, l := range t.limbo {
			q = append(q, l...)
		}
		t.queue = append(q, t.queue...)
		t.limbo = nil
		if !t.edit.started {
			t.endEdit()
			t.edit.started = true
		}
	}
	if !t.edit.started {
		return
	}
	n, _ := boundary(t.queue)
	if at, intact := t.locate(t.screen.Cursor().Line); n == 0 && t.edit.open && intact && at == t.edit.start {
		return // the editor only lent the terminal to a program
	}
	t.edit.known = false
	t.edit.output = true
}

// closing tells that the editor has stopped reading.
func (t *Tracker) closing() {
	defer func() { t.open = false }()
	n, accepts := boundary(t.queue)
	if n == 0 && t.edit.entered && len(t.queue) == 0 {
		// The accepting key was taken for one that only changed the text.
		t.queue = append(t.queue, '\r')
		n, accepts = 1, true
	}
	if n == 0 {
		if externalEditor(t.queue) && t.lf.valid && t.screen.Used(t.screen.Cursor().Line) == 0 {
			t.external = true
			t.drop(len(t.queue))
			return
		}
		if t.openBy == modeCursorKeys && !t.screen.BracketedPaste() || string(t.queue) == "\x04" || len(t.queue) == 0 && !t.edit.based {
			t.queue = nil
			t.endEdit()
		}
		return
	}
	end, ended := t.lastRow(), false
	if at := t.screen.Cursor().Line; t.lf.valid && t.lf.at.Line < at && t.screen.Used(at) == 0 {
		end, ended = t.lf.at.Line, true
	}
	if !accepts {
		// An interrupt may have closed the editor, or passed unnoticed on an empty line before this one.
		rest := t.queue[n:]
		k, ok := boundary(rest)
		if ok && t.edit.known {
			if r := t.read(rest[:k-1], end, false); r.matched && r.text != "" {
				t.queue = append([]byte(nil), rest...)
				t.accept(k, end, ended)
				return
			}
		}
		t.drop(n)
		return
	}
	t.accept(n, end, ended)
}

// A deferral is a line whose editor has stopped reading but has not yet moved to where the line ends, as zsh does.
type deferral struct {
	active bool
	n      int
	r      reading
	editor editorKind
}

// interrupted tells that what closed the editor was an interrupt, from the mark that it leaves on the screen.
func (t *Tracker) interrupted(r reading) bool {
	return !r.matched && strings.HasSuffix(r.seen, "^C") && !strings.HasSuffix(encode(r.keys), "^C")
}

// accept takes the line that ends at row end as submitted by the first n keys.
func (t *Tracker) accept(n, end int, ended bool) {
	d := deferral{active: true, n: n, editor: t.announced()}
	if t.edit.known {
		d.r = t.read(t.queue[:n-1], end, false)
	} else {
		d.r, d.n = t.readUnknown(end)
	}
	if !ended && t.interrupted(d.r) {
		t.edit.known = false
		return
	}
	t.deferred = d
	if ended || !t.edit.known {
		t.conclude(end, true)
	}
}

// conclude reports a line that was deferred, now that the cursor leaves row end.
func (t *Tracker) conclude(end int, read bool) {
	d := t.deferred
	if !d.active {
		return
	}
	t.deferred = deferral{}
	if !read && (!d.r.matched || end > d.r.row && d.editor != silent && t.edit.known && t.rowsText(d.r.row+1, end) != "") {
		d.r = t.read(t.queue[:d.n-1], end, false)
	}
	t.drop(d.n)
	t.emit(d.r, d.editor)
	t.expand.arm(d.r.text, end, t)
}

// drop forgets the keys up to n and begins a new line with the rest.
func (t *Tracker) drop(n int) {
	t.queue = append([]byte(nil), t.queue[n:]...)
	e := t.edit
	t.endEdit()
	if len(t.queue) > 0 {
		t.edit.started = true
		t.edit.enter, t.edit.stamp = e.enter, e.stamp
	}
}

func (t *Tracker) onLineFeed() {
	line := t.screen.Cursor().Line
	if t.deferred.active {
		t.conclude(line, false)
	} else {
		t.expand.feed(t, line)
	}
	t.lf = lastFeed{at: t.screen.Cursor(), valid: true}
	if from := t.screen.Returned(); t.lf.at.Col == 0 && from.Line == line {
		t.lf.at = from
	}
	if t.open || t.foreign() {
		return
	}
	if t.external {
		// The shell shows the command that the editor left before it runs it.
		if s := t.rowText(line); s != "" {
			t.external = false
			t.emit(reading{text: s, prompt: t.edit.prompt}, silent)
		}
		return
	}
	n, accepts := boundary(t.queue)
	switch {
	case n == 0:
		t.reechoed(line)
		return
	case !accepts || !t.edit.started:
		return
	}
	if !t.edit.known || !t.shells.looksShell(t.edit.prompt, silent) {
		// It may have been typed before its prompt was shown.
		r, k := t.readUnknown(line)
		if k > 0 && (!t.edit.known || t.shells.known(r.prompt, false)) {
			t.submit(r, k, line)
			return
		}
		if !t.edit.known {
			return
		}
	}
	r := t.read(t.queue[:n-1], line, false)
	if !r.matched && !t.editor && strings.HasSuffix(r.seen, "^R") && bytes.IndexByte(t.queue[:n], 0x12) >= 0 {
		return // the kernel shows the line again, in the next row
	}
	wrapping := !r.matched && t.lf.at.Col >= t.screen.Columns()
	if wrapping || !t.edit.settled && r.sure && !r.matched && !r.part {
		// The echo is not complete, or this is not the echo of this line; or the keys mean something else here.
		if t.edit.candidate == nil && similarity(r.keys, r.seen) > 0.5 {
			t.edit.candidate = &r
		}
		return
	}
	t.submit(r, n, line)
}

// submit takes a line that was ended outside any editor that announces itself.
func (t *Tracker) submit(r reading, n, line int) {
	keys := string(t.queue[:n])
	if t.edit.based {
		keys = encode(t.edit.base.text) + keys
	}
	shell := t.shells.isShell(r.prompt, silent)
	t.drop(n)
	if shell {
		t.emit(r, silent)
		t.expand.arm(r.text, line, t)
		return
	}
	if len(t.limbo) == 0 {
		t.limboAt = line
	}
	for len(keys) > 0 && len(t.limbo) < maxLimbo {
		n, _ := boundary([]byte(keys)) // lines that are empty may stand before it
		if n == 0 {
			n = len(keys)
		}
		t.limbo = append(t.limbo, keys[:n])
		keys = keys[n:]
	}
}

// reechoed looks for a line that was typed ahead and that an editor without modes shows again after its prompt.
func (t *Tracker) reechoed(line int) {
	if len(t.limbo) == 0 {
		return
	}
	s := t.rowText(line)
	if _, _, ok := t.shells.split(s, false); !ok {
		return
	}
	based := t.edit.based
	t.edit.based = false
	r, n := t.behindPrompt(s, []byte(strings.Join(t.limbo, "")))
	t.edit.based = based
	if n == 0 || !t.shells.known(r.prompt, false) {
		return
	}
	for n > 0 && len(t.limbo) > 0 {
		n -= len(t.limbo[0])
		t.limbo = t.limbo[1:]
	}
	t.editor = true
	t.emit(r, silent)
}

// settleLimbo reports the lines that a shell without an editor took from what was typed ahead: it shows one prompt for
// each, and one more.
func (t *Tracker) settleLimbo() {
	cur := t.screen.Cursor()
	prompt := t.shells.suffix(left(t.screen, cur))
	if t.open || t.editor || prompt == "" || len(t.limbo) == 0 || !t.shells.known(prompt, false) {
		return
	}
	n, held := 0, string(t.replay(t.queue, cooked, false).shown)
	for l := max(t.limboAt, t.screen.OldestLine()); l <= cur.Line; l++ {
		s := t.rowText(l)
		if l == cur.Line {
			s = left(t.screen, cur)
		}
		s = strings.TrimPrefix(s, held)
		for further := "> "; ; n++ {
			if p, ok := strings.CutPrefix(s, prompt); ok {
				s = p
			} else if s, ok = strings.CutPrefix(s, further); !ok {
				break
			}
		}
	}
	took := min(n-1, len(t.limbo))
	for _, l := range t.limbo[len(t.limbo)-max(took, 0):] {
		m := t.replay([]byte(l[:len(l)-1]), cooked, false)
		t.emit(reading{text: encode(m.text), prompt: prompt, matched: true}, silent)
	}
	t.limbo = nil
}
