package line

import (
	"slices"
	"strings"

	"github.com/podbastion/podbastion/shellparse/screen"
)

// A reading is one reconstruction of a line.
type reading struct {
	text      string
	seen      string // what the screen shows
	keys      []rune // what the preferred model of the keys gives
	prompt    string
	sure      bool // the keys alone tell the text
	matched   bool // screen and keys agree
	blind     bool // keys were typed and the screen shows none of them
	row       int  // its last row
	part      bool // the screen shows a part of what the keys give
	spoilt    bool // the prompt is not where it was
	completed bool // all agrees but for what the editor completed, which only the screen shows
	pending   bool // the editor has not shown the end of the line yet
	unlikely  bool // a likelier editor would have made another line of the keys
}

// replay runs one model over keys, from what was taken over from the screen.
func (t *Tracker) replay(keys []byte, k kind, vi bool) *model {
	m := &model{kind: k, vi: vi, sure: !t.edit.lost, history: t.history}
	m.kills = append(m.kills, t.kills...)
	if t.edit.based {
		m.set(t.edit.base.text, t.edit.base.pos)
		m.command = vi && t.edit.command
		m.echo = []byte(encode(t.edit.base.text))
		m.shown, m.size = t.edit.base.text[:len(t.edit.base.text):len(t.edit.base.text)], len(encode(t.edit.base.text))
	}
	m.run(keys)
	return m
}

type guess struct {
	kind kind
	vi   bool
}

// guesses lists the editors that may be at work, the likeliest first.
func (t *Tracker) guesses() []guess {
	g := []guess{{t.kind, t.vi}}
	kinds := []kind{readline, zle, fish}
	if t.kind == cooked && (t.open || t.editor) {
		g[0].kind = readline
	}
	if !t.open {
		kinds = []kind{cooked, readline, busybox, mksh, ksh93, zle}
	}
	for _, vi := range []bool{false, true} {
		for _, k := range kinds {
			if k == cooked && t.editor || vi && (k == cooked || k == busybox) || g[0] == (guess{k, vi}) {
				continue
			}
			g = append(g, guess{k, vi})
		}
	}
	return g
}

// read reads the line that ends at row end and was typed with keys.
func (t *Tracker) read(keys []byte, end int, pending bool) reading {
	r := t.readHere(keys, end, pending)
	if r.matched || t.echo.broken || !t.edit.known || !t.open {
		return r
	}
	if t.echo.skewed {
		return t.readBelieved(keys, false, pending)
	}
	if r.sure {
		if x := t.readBelieved(keys, true, pending); x.matched {
			return x
		}
	}
	return r
}

// readHere reads the line from the screen as it is.
func (t *Tracker) readHere(keys []byte, end int, pending bool) reading {
	cut := noCut
	if pending {
		cut = t.suggestion(t.screen.Cursor(), end)
	} else if t.lf.valid && t.lf.at.Line == end {
		cut = t.suggestion(t.lf.at, end)
	}
	start, intact := t.locate(end)
	r := reading{prompt: t.edit.prompt, seen: t.region(start, end, cut), spoilt: !intact, pending: pending, row: end}
	if s, ok := searched(t.rowText(end)); pending && ok {
		r.seen = s
	}
	models := t.models(keys)
	if t.agree(&r, models) {
		return r
	}
	if cut != noCut {
		// What looks like a suggestion may have been typed.
		x := reading{prompt: t.edit.prompt, seen: t.region(start, end, noCut)}
		if t.agree(&x, models) {
			return x
		}
	}
	for l := start.Line; !pending && !t.edit.lost && l < end && end-l < 64; l++ {
		// Not all that moves the cursor to a lower row is the editor.
		x := reading{prompt: t.edit.prompt, seen: t.region(start, l, cut)}
		if strings.TrimSpace(x.seen) != "" && t.agree(&x, models) {
			return x
		}
	}
	for l := end; t.edit.before == "" && start.Col == 0 && l > start.Line && end-l < 64; l-- {
		// Without a prompt nothing tells that the editor has drawn the line anew, but that it is what the keys give.
		x := reading{prompt: t.edit.prompt, seen: t.region(screen.Pos{Line: l}, end, cut), row: end}
		if !t.wrapped(l) && strings.TrimSpace(x.seen) != "" && t.agree(&x, models) {
			t.edit.start = screen.Pos{Line: l}
			return x
		}
	}
	if pending && intact && t.completed(&r, models) {
		return r
	}
	t.choose(&r, models)
	return r
}

// manyKeys is from where on only the likeliest models are tried: a line that long is data.
const manyKeys = 8 << 10

// models replays keys as each editor that may be at work would take them, the likeliest first.
func (t *Tracker) models(keys []byte) []*model {
	g := t.guesses()
	if len(keys) > manyKeys {
		g = g[:2]
	}
	out := make([]*model, len(g))
	for i, g := range g {
		out[i] = t.replay(keys, g.kind, g.vi)
	}
	return out
}

// agree looks for a model that gives what the screen shows.
func (t *Tracker) agree(r *reading, models []*model) bool {
	for _, m := range models {
		if !t.edit.completed.allows(m.kind, t.open) {
			continue
		}
		if !m.fits(r.seen) && !t.echoed(m, r.seen) {
			r.unlikely = true
			continue
		}
		t.kind, t.vi, t.kills = m.kind, m.vi, m.kills
		r.keys, r.sure, r.matched = m.text, m.sure, true
		r.text = encode(m.text)
		if m.kind == cooked && !t.kernel {
			t.kernel = !slices.ContainsFunc(models, func(o *model) bool { return o.kind == readline && !o.vi && matches(o.text, r.seen) })
		}
		return true
	}
	return false
}

// completed looks for a model that gives what the screen shows but for what the editor completed, which the screen
// alone tells. It is believed where nothing else was written since the key for it.
func (t *Tracker) completed(r *reading, models []*model) bool {
	if t.edit.completed.keys == 0 || !t.edit.completed.honest(t.open) {
		return false
	}
	for _, m := range models {
		if m.holes == 0 || m.opaque {
			continue
		}
		text, ok := filled(m.text, r.seen)
		if !ok {
			continue
		}
		t.kind, t.vi, t.kills = m.kind, m.vi, m.kills
		r.keys, r.text, r.completed = text, encode(text), true
		t.blanks(r)
		return true
	}
	return false
}

// choose decides between screen and keys where they do not agree.
func (t *Tracker) choose(r *reading, models []*model) {
	best := -1.0
	for _, m := range models {
		if m.kind == cooked && !t.kernel {
			continue // everything is text to the kernel: that it knows what every key does says nothing
		}
		if s := similarity(m.shows(), r.seen); s > best && (m.sure || !r.sure) || m.sure && !r.sure {
			best = s
			r.keys, r.sure = m.text, m.sure
		}
	}
	r.text = strings.ReplaceAll(r.seen, string(rune(maybeBlank)), "")
	if !r.sure || len(r.keys) == 0 {
		if r.pending {
			t.blanks(r)
		}
		return
	}
	shown := strings.TrimSpace(r.seen)
	typed := encode(r.keys)
	switch {
	case shown == "":
		r.blind = true
		r.text = ""
	case r.pending && strings.HasPrefix(typed, shown) && !t.edit.output:
		r.text = typed
	case r.spoilt && t.open && t.edit.shown:
		r.text = typed
	case t.scrolled(r):
		r.text, r.part = typed, true
	case t.disturbed(r):
		if similarity(r.keys, r.seen) > 0.6 {
			r.text = typed
		}
	}
}

// blanks adds the blanks at the end: they do not show, but the cursor is behind them.
func (t *Tracker) blanks(r *reading) {
	start, _ := t.locate(r.row)
	if before := t.rawTo(start, t.screen.Cursor()); strings.TrimRight(before, " ") == r.text {
		r.text = before
	}
}

// disturbed tells that something other than the editor wrote over the line.
func (t *Tracker) disturbed(r *reading) bool {
	return t.edit.disturbed || r.spoilt || strings.Contains(r.seen, "\n") && !strings.ContainsRune(string(r.keys), '\n')
}

// scrolled tells that the editor shows only a part of a line that is too long for its row, with a mark at the end that
// there is more. What is shown is then a part of what was typed.
func (t *Tracker) scrolled(r *reading) bool {
	row := strings.TrimSpace(t.rowText(r.row))
	for _, s := range []string{r.seen, row} {
		part := strings.Trim(s, "<>*+ ")
		if part != strings.TrimSpace(s) && len(part) >= 8 && strings.Contains(encode(r.keys), part) {
			return true
		}
	}
	return false
}

// readUnknown reads a line whose beginning was not seen, because its keys were sent before its prompt was shown. It tells
// how many keys the line takes, 0 when this row is no line.
func (t *Tracker) readUnknown(end int) (reading, int) {
	s := t.rowText(end)
	if t.open {
		s = t.besideRight(s, end)
	}
	if t.open && t.echo.skewed && !t.echo.broken {
		t.onBelieved(false, func() {
			last := t.lastRow()
			if t.screen.Cursor().Col == 0 && t.screen.Used(last) == 0 && last > 0 {
				last--
			}
			s = t.rowText(last)
		})
	}
	r, n := t.behindPrompt(s, t.queue)
	for l := t.firstRow(end) + 1; t.open && n == 0 && l <= end; l++ {
		// The prompt may be so long that only its last row was seen to be one.
		row := t.rowsText(l, end)
		if _, _, ok := t.shells.split(row, true); ok {
			r, n = t.behindPrompt(row, t.queue)
		}
	}
	if n == 0 && t.open {
		if n, _ = boundary(t.queue); n > 0 {
			r = reading{text: s, seen: s}
		}
	}
	return r, n
}

// behindPrompt finds in a row the line that keys give: at its end, or behind a prompt that is known. It tells how many
// keys up to and including an accepting one that takes, 0 when the row holds no such line.
func (t *Tracker) behindPrompt(s string, keys []byte) (reading, int) {
	prompt, rest, ok := t.shells.split(s, t.open)
	for t.edit.held && ok && strings.HasPrefix(rest, prompt) {
		rest = rest[len(prompt):] // it showed one for each line that it took
	}
	first, firstTook, took := reading{}, 0, 0
	for range maxLimbo {
		n, accepts := boundary(keys[took:])
		if n == 0 {
			break
		}
		one := keys[took : took+n-1]
		took += n
		if !accepts {
			continue
		}
		for _, g := range t.guesses() {
			m := t.replay(one, g.kind, g.vi)
			if g.kind == cooked && t.edit.held && ok && rest != "" && strings.HasSuffix(string(m.shown), rest) {
				// What the kernel held is not shown again behind the prompt.
				return reading{text: encode(m.text), seen: rest, keys: m.text, prompt: prompt, sure: true}, took
			}
			k := m.fitsEnd(s)
			if !m.sure || len(m.text) == 0 || k == 0 || g.kind == cooked && ok && k > len(rest) {
				continue
			}
			t.kind, t.vi, t.kills = g.kind, g.vi, m.kills
			p := s[:len(s)-k]
			if !t.open {
				p = t.shells.suffix(p)
			}
			return reading{text: encode(m.text), seen: s, keys: m.text, prompt: p, sure: true, matched: true}, took
		}
		if firstTook == 0 {
			firstTook = took
			m := t.replay(one, readline, t.vi)
			first = reading{seen: rest, text: rest, prompt: prompt, keys: m.text, sure: m.sure}
			switch {
			case !m.sure || t.open:
			case prompt+rest != s && similarity(m.text, rest) > 0.8:
				first.text = encode(m.text) // drawn in the wrong columns
			default:
				firstTook = -1 // the row is something else
			}
		}
		t.edit.based = false
	}
	if !ok || firstTook < 0 {
		return reading{}, 0
	}
	return first, firstTook
}

// line makes a Line of a reading.
func (t *Tracker) line(r reading) Line {
	l := Line{Text: r.text, Witness: Screen, Confidence: Low, Secret: r.blind, Completed: r.completed}
	if r.matched {
		l.Confidence, l.Unlikely = High, r.unlikely
	}
	if r.blind {
		l.Text = ""
	}
	if r.sure && !r.matched {
		l.Typed = encode(r.keys)
	}
	l.Program = !t.shells.looksShell(r.prompt, t.announced())
	return l
}

// announced tells how the editor that reads announces itself.
func (t *Tracker) announced() editorKind {
	switch {
	case !t.open:
		return silent
	case t.screen.BracketedPaste():
		return pasting
	}
	return modal
}

// emit reports a line that was accepted.
func (t *Tracker) emit(r reading, ed editorKind) {
	if strings.TrimSpace(r.text) == "" || r.blind {
		return
	}
	l := t.line(r)
	l.Program = !t.shells.isShell(r.prompt, ed)
	if len(t.lines) < maxLines {
		t.lines = append(t.lines, l)
	}
	if l.Program {
		return
	}
	t.shells.ran(r.text)
	if len(t.history) == maxHistory {
		t.history = t.history[1:]
	}
	if len(r.text) < 4096 {
		t.history = append(t.history, r.text)
	}
}
