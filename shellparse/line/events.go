package line

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
		if !t.open {
			t.open, t.openBy = true, mode
			t.castShadow()
			t.opened()
		}
		return
	}
	if t.open {
		t.syncShadow()
		t.closing()
		t.shadow = nil
	}
}

func (t *Tracker) onClear() { t.lf.valid = false }

// opened tells that an editor begins to read. What was typed before goes to it, if no program took it.
func (t *Tracker) opened() {
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
	if !accepts {
		t.drop(n)
		return
	}
	end := t.screen.Cursor().Line
	if t.lf.valid && t.lf.line < end && t.screen.Used(end) == 0 {
		end = t.lf.line
	}
	t.accept(n, end)
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

// accept takes the line that ends at row end as submitted by the first n keys.
func (t *Tracker) accept(n, end int) {
	r := t.read(t.queue[:n-1], end, false)
	if !t.edit.known {
		r, n = t.readUnknown(end)
	}
	t.drop(n)
	t.emit(r)
	t.expand.arm(r.text, end, t)
}

func (t *Tracker) onLineFeed() {
	line := t.screen.Cursor().Line
	t.expand.feed(t, line)
	t.lf = lastFeed{line: line, valid: true}
	if t.open || t.foreign() {
		return
	}
	if t.external {
		// The shell shows the command that the editor left before it runs it.
		if s := t.rowText(line); s != "" {
			t.external = false
			t.emit(reading{text: s, prompt: t.edit.prompt})
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
	if !t.edit.known {
		r, k := t.readUnknown(line)
		if k == 0 {
			return
		}
		t.submit(r, k, line)
		return
	}
	r := t.read(t.queue[:n-1], line, false)
	if r.sure && !r.matched && similarity(r.keys, r.seen) < 0.5 {
		return // not the echo of this line
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
		t.emit(r)
		t.expand.arm(r.text, line, t)
		return
	}
	if len(t.limbo) == 0 {
		t.limboAt = line
	}
	if len(t.limbo) < maxLimbo {
		t.limbo = append(t.limbo, keys)
	}
}

// reechoed looks for a line that was typed ahead and that an editor without modes shows again after its prompt.
func (t *Tracker) reechoed(line int) {
	if len(t.limbo) == 0 {
		return
	}
	s := t.rowText(line)
	for i, l := range t.limbo {
		m := t.replay([]byte(l[:len(l)-1]), cooked, false)
		if len(m.text) == 0 || !endsWith(s, m.text) {
			continue
		}
		p := s[:len(s)-len(encode(m.text))]
		if p == "" || !t.shells.known(p, false) {
			continue
		}
		t.limbo = t.limbo[i+1:]
		t.emit(reading{text: encode(m.text), prompt: p, matched: true})
		return
	}
}

// settleLimbo reports the lines that a shell without an editor took from what was typed ahead: it shows one prompt for
// each, and one more.
func (t *Tracker) settleLimbo() {
	cur := t.screen.Cursor()
	prompt := left(t.screen, cur)
	if t.open || prompt == "" || len(t.limbo) == 0 || !t.shells.known(prompt, false) {
		return
	}
	n := 0
	for l := max(t.limboAt, t.screen.OldestLine()); l <= cur.Line; l++ {
		s := t.rowText(l)
		if l == cur.Line {
			s = left(t.screen, cur)
		}
		for len(s) >= len(prompt) && s[:len(prompt)] == prompt {
			n++
			s = s[len(prompt):]
		}
	}
	took := min(n-1, len(t.limbo))
	for _, l := range t.limbo[len(t.limbo)-max(took, 0):] {
		m := t.replay([]byte(l[:len(l)-1]), cooked, false)
		t.emit(reading{text: encode(m.text), prompt: prompt, matched: true})
	}
	t.limbo = nil
}
