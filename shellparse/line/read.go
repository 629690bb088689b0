package line

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/podbastion/podbastion/shellparse/screen"
)

// A reading is one reconstruction of a line.
type reading struct {
	text    string
	seen    string // what the screen shows
	keys    []rune // what the preferred model of the keys gives
	prompt  string
	sure    bool // the keys alone tell the text
	matched bool // screen and keys agree
	blind   bool // keys were typed and the screen shows none of them
	row     int  // its last row
	part    bool // the screen shows a part of what the keys give
	spoilt  bool // the prompt is not where it was
	pending bool // the editor has not shown the end of the line yet
}

// left is the text of a row before a place, blanks included.
func left(scr *screen.Screen, p screen.Pos) string {
	var b []byte
	for c := range p.Col {
		b = scr.AppendSent(b, scr.Cell(screen.Pos{Line: p.Line, Col: c}))
	}
	return string(b)
}

// column is the column at which the first n bytes of a row's text end.
func column(scr *screen.Screen, line, n int) int {
	var b []byte
	for c := range scr.Used(line) {
		if len(b) >= n {
			return c
		}
		b = scr.AppendSent(b, scr.Cell(screen.Pos{Line: line, Col: c}))
	}
	return scr.Used(line)
}

// noteRight remembers what stands right of the prompt before anything is typed.
func (t *Tracker) noteRight() {
	e := &t.edit
	used := t.screen.Used(e.start.Line)
	for c := e.start.Col; c < used; c++ {
		if t.screen.Cell(screen.Pos{Line: e.start.Line, Col: c}).Space() {
			continue
		}
		if c > e.start.Col {
			e.rightGap = t.screen.Columns() - used
			e.right = shape(t.span(e.start.Line, c, used))
		}
		return
	}
}

func (t *Tracker) span(line, from, to int) string {
	var b []byte
	for c := from; c < to; c++ {
		b = t.screen.AppendSent(b, t.screen.Cell(screen.Pos{Line: line, Col: c}))
	}
	return strings.TrimRight(string(b), " ")
}

// firstRow is the first row of the line that the terminal wrapped and of which line is a part.
func (t *Tracker) firstRow(line int) int {
	for line > t.screen.OldestLine() && t.screen.Wrapped(line-1) {
		line--
	}
	return line
}

// wrapped tells that a row continues the one above it.
func (t *Tracker) wrapped(line int) bool {
	return line > t.screen.OldestLine() && t.screen.Wrapped(line-1)
}

// lastRow is the last row of the text that the cursor is in.
func (t *Tracker) lastRow() int {
	l := t.screen.Cursor().Line
	for l < t.screen.EndLine()-1 && t.screen.Wrapped(l) {
		l++
	}
	return l
}

// rowText is the whole text of the line that the terminal wrapped, up to row end.
func (t *Tracker) rowText(end int) string {
	var b []byte
	for l := t.firstRow(end); l <= end; l++ {
		for c := range t.screen.Used(l) {
			b = t.screen.AppendSent(b, t.screen.Cell(screen.Pos{Line: l, Col: c}))
		}
	}
	return strings.TrimRight(string(b), " ")
}

var noCut = screen.Pos{Line: -1}

// region reads the text from a place to the end of a row, or up to cut where that comes first.
func (t *Tracker) region(from screen.Pos, end int, cut screen.Pos) string {
	var b []byte
	from.Line = max(from.Line, t.screen.OldestLine())
	for l := from.Line; l <= end; l++ {
		c, used := 0, t.screen.Used(l)
		if l == from.Line {
			c = from.Col
		} else if !t.screen.Wrapped(l - 1) {
			if b = append(b, '\n'); t.full(l - 1) {
				b[len(b)-1] = maybeBlank
			}
			c = t.indent(l, from.Col)
		}
		if cut.Line == l {
			used = min(used, cut.Col)
		}
		for ; c < used; c++ {
			if t.shells.container != "" && t.border(l, c) {
				break
			}
			if l == from.Line && t.edit.right != "" && t.rightPrompt(l, c) {
				break
			}
			x := t.screen.Cell(screen.Pos{Line: l, Col: c})
			if x.Stamp < t.edit.stamp {
				x = screen.Cell{} // stood there before the line was begun
			}
			if x.Space() && c == t.screen.Columns()-1 && t.screen.Wrapped(l) && t.screen.Cell(screen.Pos{Line: l + 1}).Wide() {
				b = append(b, maybeBlank) // room that the wide character did not fit in, or a blank
				continue
			}
			b = t.screen.AppendSent(b, x)
		}
		if cut.Line == l {
			break
		}
	}
	return strings.TrimRight(string(b), " ")
}

// full tells that a row is written to its last column: some editors go on in the next row by themselves then.
func (t *Tracker) full(line int) bool {
	used, cols := t.screen.Used(line), t.screen.Columns()
	return used == cols || used == cols-1 && t.screen.Cell(screen.Pos{Line: line + 1}).Wide()
}

// indent is how far the editor itself set a further line of the text in: over cells that it left empty, or, in fish,
// under the prompt's end and more for each level.
func (t *Tracker) indent(line, prompt int) int {
	c, used := 0, t.screen.Used(line)
	for c < used && (t.screen.Cell(screen.Pos{Line: line, Col: c}).Blank() || t.fish && t.screen.Cell(screen.Pos{Line: line, Col: c}).Space()) {
		c++
	}
	if t.fish && c < prompt {
		return 0
	}
	return c
}

// border tells that a multiplexer's pane ends at this column.
func (t *Tracker) border(line, col int) bool {
	return string(t.screen.AppendCell(nil, t.screen.Cell(screen.Pos{Line: line, Col: col}))) == "│"
}

// afterBorder is what stands right of a pane's border.
func afterBorder(s string) string {
	if i := strings.LastIndex(s, "│"); i >= 0 {
		return s[i+len("│"):]
	}
	return s
}

// rightPrompt tells that what was right of the prompt still stands at this column, with a blank before it.
func (t *Tracker) rightPrompt(line, col int) bool {
	if col == 0 || t.screen.Wrapped(line) || !t.screen.Cell(screen.Pos{Line: line, Col: col - 1}).Space() {
		return false
	}
	used := t.screen.Used(line)
	return t.screen.Columns()-used == t.edit.rightGap && t.edit.right == shape(t.span(line, col, used))
}

// shape is a text with all digits made alike, so that a clock stays the same.
func shape(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, s)
}

// locate finds where the text begins now: editors draw prompt and line anew after a listing or a cleared screen.
func (t *Tracker) locate(end int) (at screen.Pos, intact bool) {
	e := &t.edit
	if e.before == "" {
		if e.start.Line <= end && e.start.Line >= t.screen.OldestLine() {
			return e.start, true
		}
		return screen.Pos{Line: t.firstRow(end)}, true
	}
	lowest := t.screen.OldestLine()
	if e.start.Line <= end {
		lowest = max(lowest, e.start.Line)
	}
	for l := end; l >= lowest; l-- {
		if t.wrapped(l) != e.wrapped && l != e.start.Line && len(strings.TrimSpace(e.before)) < 4 {
			continue
		}
		at := screen.Pos{Line: l, Col: e.start.Col}
		if left(t.screen, at) == e.before {
			return at, true
		}
	}
	if e.start.Line > end {
		return screen.Pos{Line: t.firstRow(end)}, false
	}
	return e.start, false
}

// suggestion is the place from which the editor shows a text that was not typed: drawn faint or grey from the cursor to
// the end.
func (t *Tracker) suggestion(cur screen.Pos, end int) screen.Pos {
	seen := false
	for l := cur.Line; l <= end; l++ {
		c := 0
		if l == cur.Line {
			c = cur.Col
		}
		for ; c < t.screen.Used(l); c++ {
			x := t.screen.Cell(screen.Pos{Line: l, Col: c})
			if x.Space() || x.Tail() {
				continue
			}
			if l == t.edit.start.Line && t.edit.right != "" && t.rightPrompt(l, c) {
				break
			}
			fg := x.Foreground()
			if !x.Faint() && fg != screen.StyleGrey && fg != 9 {
				return noCut
			}
			seen = true
		}
	}
	if !seen {
		return noCut
	}
	return cur
}

// replay runs one model over keys, from what was taken over from the screen.
func (t *Tracker) replay(keys []byte, k kind, vi bool) *model {
	m := &model{kind: k, vi: vi, sure: !t.edit.lost, history: t.history}
	m.kills = append(m.kills, t.kills...)
	if t.edit.based {
		m.set(t.edit.base.text, t.edit.base.pos)
		m.command = vi && t.edit.command
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
	t.reconcile(&r, keys)
	if cut != noCut && !r.matched {
		// What looks like a suggestion may have been typed.
		x := reading{prompt: t.edit.prompt, seen: t.region(start, end, noCut)}
		if t.reconcile(&x, keys); x.matched {
			return x
		}
	}
	for l := start.Line; !r.matched && !pending && l < end && end-l < 64; l++ {
		// Not all that moves the cursor to a lower row is the editor.
		x := reading{prompt: t.edit.prompt, seen: t.region(start, l, cut)}
		t.reconcile(&x, keys)
		if x.matched && strings.TrimSpace(x.seen) != "" {
			return x
		}
	}
	return r
}

// searched is the line that readline's and busybox's history search show behind what is searched for.
func searched(row string) (string, bool) {
	for _, p := range []string{"(reverse-i-search)`", "(failed reverse-i-search)`", "(i-search)`", "(failed i-search)`"} {
		if !strings.HasPrefix(row, p) {
			continue
		}
		if i := strings.Index(row, "': "); i >= 0 {
			return row[i+3:], true
		}
		return "", true
	}
	return "", false
}

// reconcile compares what the screen shows with what the keys give.
func (t *Tracker) reconcile(r *reading, keys []byte) {
	best := -1.0
	for _, g := range t.guesses() {
		m := t.replay(keys, g.kind, g.vi)
		if g.kind == cooked && !t.kernel {
			// Everything is text to the kernel: that it knows what every key does says nothing.
		} else if s := similarity(m.shows(), r.seen); s > best && (m.sure || !r.sure) || m.sure && !r.sure {
			best = s
			r.keys, r.sure = m.text, m.sure
		}
		if matches(m.shows(), r.seen) {
			t.kind, t.vi, t.kills = g.kind, g.vi, m.kills
			r.keys, r.sure, r.matched = m.text, m.sure, true
			r.text = encode(m.text)
			if g.kind == cooked && !t.kernel && !matches(t.replay(keys, readline, false).text, r.seen) {
				t.kernel = true
			}
			return
		}
	}
	r.text = strings.ReplaceAll(r.seen, string(rune(maybeBlank)), "")
	if !r.sure || len(r.keys) == 0 {
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
			k := matchLen(s, m.shows())
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

// find looks for where a line begins whose first keys were sent before its prompt was shown: what stands before the text
// that they give.
func (t *Tracker) find() {
	end := t.lastRow()
	s := t.rowText(end)
	for _, g := range t.guesses() {
		m := t.replay(t.queue, g.kind, g.vi)
		if !m.sure || len(m.text) == 0 {
			continue
		}
		n := matchLen(s, m.shows())
		if n == 0 {
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

// place is where the first n bytes of a wrapped line end.
func (t *Tracker) place(line, n int) screen.Pos {
	for {
		b := len(left(t.screen, screen.Pos{Line: line, Col: t.screen.Used(line)}))
		if n < b || !t.screen.Wrapped(line) {
			return screen.Pos{Line: line, Col: column(t.screen, line, n)}
		}
		n -= b
		line++
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
	t.edit.based, t.edit.lost = true, false
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

// rawTo reads from one place to another with the blanks at the end.
func (t *Tracker) rawTo(from, to screen.Pos) string {
	var b []byte
	for l := max(from.Line, t.screen.OldestLine()); l <= to.Line; l++ {
		c, used := 0, t.screen.Used(l)
		if l == from.Line {
			c = from.Col
		} else if !t.screen.Wrapped(l - 1) {
			if !t.full(l - 1) {
				b = append(b, '\n')
			}
			c = t.indent(l, from.Col)
		}
		if l == to.Line {
			used = to.Col
		}
		for ; c < used; c++ {
			b = t.screen.AppendSent(b, t.screen.Cell(screen.Pos{Line: l, Col: c}))
		}
	}
	return string(b)
}

// line makes a Line of a reading.
func (t *Tracker) line(r reading) Line {
	l := Line{Text: r.text, Witness: Screen, Confidence: Low, Secret: r.blind}
	if r.matched {
		l.Confidence = High
	}
	if r.blind {
		l.Text = ""
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

// shownAs lists how editors may show a character.
func shownAs(r rune) string {
	switch {
	case r == 0x7f:
		return "^?"
	case r < 0x20 && r != '\n' && r != '\t':
		return "^" + string(r+0x40)
	}
	return ""
}

// maybeBlank stands in what was read for a cell that may or may not be a blank of the text.
const maybeBlank = 0

// matchPrefix tells how many bytes of s the text takes when it is shown at its start, -1 when it is not.
func matchPrefix(text []rune, s string) int {
	i := 0
	for _, r := range text {
		if i < len(s) && s[i] == maybeBlank && r != 0 {
			i++
			if (r == ' ' || r == '\n') && (i == len(s) || rune(s[i]) != r) {
				continue
			}
		}
		if r == '\t' {
			n := 0
			if i < len(s) && s[i] == '^' { // what the kernel shows while it waits for a quoted key
				n++
			}
			for n < 8 && i+n < len(s) && s[i+n] == ' ' {
				n++
			}
			i += n
			continue
		}
		if i >= len(s) {
			if r == ' ' || r == '\n' {
				continue
			}
			return -1
		}
		if a := shownAs(r); a != "" {
			if !strings.HasPrefix(s[i:], a) {
				return -1
			}
			i += len(a)
			continue
		}
		if r >= rawByte && r <= rawByte+0xff {
			if s[i] != byte(r) {
				return -1
			}
			i++
			continue
		}
		c, n := utf8.DecodeRuneInString(s[i:])
		if c != r {
			if r == ' ' && c == '\n' {
				continue
			}
			return -1
		}
		i += n
	}
	return i
}

func matches(text []rune, s string) bool {
	n := matchPrefix(text, s)
	return n >= 0 && strings.TrimRight(s[n:], " ") == ""
}

// matchLen is how many bytes at the end of s show the text.
func matchLen(s string, text []rune) int {
	for i := len(s); i >= 0; i-- {
		if matches(text, s[i:]) && len(strings.TrimRight(s[i:], " ")) > 0 {
			return len(s) - i
		}
	}
	return 0
}

func endsWith(s string, text []rune) bool { return matchLen(s, text) > 0 }

// similarity is the share of the shorter text that the longer one has in the same order.
func similarity(typed []rune, s string) float64 {
	const enough = 1024
	a, b := typed, decode([]byte(strings.TrimSpace(s)))
	a, b = a[:min(len(a), enough)], b[:min(len(b), enough)]
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			up := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(up, row[j])
			}
			diagonal = up
		}
	}
	return float64(row[len(b)]) / float64(min(len(a), len(b)))
}
