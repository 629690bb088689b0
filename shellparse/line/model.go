package line

import "strings"

// A model replays keys as one kind of line editor would take them. It is one of several guesses: which editor the shell
// has, and how it is set up, shows only in whether a model's text is what the screen shows.
type model struct {
	buffer
	kind    kind
	vi      bool
	command bool // vi's command mode

	// sure is false once a key came whose effect the keys alone do not tell: completion, history, searches, bindings.
	sure bool

	holes  int  // how often the editor completed something
	opaque bool // and then a key came whose effect depends on what that was

	mark    int
	kills   [][]rune
	yanked  int // length of the last yank, for yank-pop
	yankAt  int
	killing bool // the last command was a kill, so the next joins it
	undo    []buffer
	typing  int // how many characters were typed in a row: they are undone together
	typedTo int
	arg     int
	hasArg  bool
	history []string
	hist    int // how far back in history; 0 is the line being typed
	typed   buffer
	over    bool   // overwrite mode
	size    int    // bytes that the kernel holds of the line
	shown   []rune // what the kernel's echo leaves on the screen, where that is not the text
	echo    []byte // all that the kernel writes
	again   bool   // and it writes over what it wrote, or writes it again
	find    rune   // last vi or readline character search
	findCmd rune
}

type kind uint8

const (
	readline kind = iota
	zle
	fish
	busybox
	mksh
	ksh93
	cooked
)

// canonicalMax is how much of a line the kernel's line discipline keeps.
const canonicalMax = 4095

func (m *model) run(keys []byte) {
	for len(keys) > 0 {
		n := m.step(keys)
		keys = keys[n:]
	}
}

// step takes one key or sequence and tells its length.
func (m *model) step(keys []byte) int {
	if t, n := pasted(keys); n > 0 {
		if m.kind == cooked || m.kind == busybox || m.kind == mksh || m.kind == ksh93 {
			m.sure = false
		}
		m.save()
		m.insert(t...)
		return n
	}
	switch {
	case m.kind == cooked:
		return m.stepCooked(keys)
	case m.vi:
		return m.stepVi(keys)
	}
	return m.stepEmacs(keys)
}

// one decodes the first character of keys.
func one(keys []byte) (rune, int) {
	rs := decode(keys[:min(len(keys), 4)])
	r := rs[0]
	if r >= rawByte && r <= rawByte+0xff {
		return r, 1
	}
	return r, len(string(r))
}

const (
	pasteStart = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

// pasted returns the text of a bracketed paste at the start of keys and its whole length.
func pasted(keys []byte) ([]rune, int) {
	if len(keys) < len(pasteStart) || string(keys[:len(pasteStart)]) != pasteStart {
		return nil, 0
	}
	body := keys[len(pasteStart):]
	end := indexString(body, pasteEnd)
	n := len(keys)
	if end >= 0 {
		n = len(pasteStart) + end + len(pasteEnd)
		body = body[:end]
	}
	rs := decode(body)
	for i, r := range rs {
		if r == '\r' {
			rs[i] = '\n'
		}
	}
	return rs, n
}

func indexString(b []byte, s string) int {
	for i := 0; i+len(s) <= len(b); i++ {
		if string(b[i:i+len(s)]) == s {
			return i
		}
	}
	return -1
}

// sequence is the length of an escape sequence at the start of keys (CSI or SS3), its final byte and its parameters.
func sequence(keys []byte) (n int, final byte, params string) {
	if len(keys) < 3 || keys[0] != 0x1b || keys[1] != '[' && keys[1] != 'O' {
		return 0, 0, ""
	}
	if keys[1] == 'O' {
		return 3, keys[2], ""
	}
	i := 2
	for i < len(keys) && keys[i] >= 0x20 && keys[i] < 0x40 {
		i++
	}
	if i == len(keys) {
		return 0, 0, ""
	}
	return i + 1, keys[i], string(keys[2:i])
}

func (m *model) save() {
	const maxUndo, maxUndoText = 32, 4096
	m.typing = 0
	if len(m.text) > maxUndoText {
		m.undo = nil
		return
	}
	if len(m.undo) == maxUndo {
		m.undo = m.undo[1:]
	}
	m.undo = append(m.undo, buffer{append([]rune(nil), m.text...), m.pos})
}

// saveTyping is save for a character that is typed.
func (m *model) saveTyping() {
	const together = 20
	if m.typing == 0 || m.typing == together {
		m.save()
	}
	m.typing++
}

func (m *model) undoOne() {
	m.typing = 0
	if len(m.undo) == 0 {
		m.sure = m.sure && len(m.text) == 0
		return
	}
	last := m.undo[len(m.undo)-1]
	m.undo = m.undo[:len(m.undo)-1]
	m.buffer = last
}

// kill removes text and keeps it for yanking, joined to the kill before when that was the last command.
func (m *model) kill(from, to int) {
	m.save()
	before := min(from, to) < m.pos
	gone := m.cut(from, to)
	if len(gone) == 0 {
		m.killing = true
		return
	}
	if m.killing && len(m.kills) > 0 {
		top := &m.kills[len(m.kills)-1]
		if before {
			*top = append(gone, *top...)
		} else {
			*top = append(*top, gone...)
		}
	} else {
		if len(m.kills) == 16 {
			m.kills = m.kills[1:]
		}
		m.kills = append(m.kills, gone)
	}
	m.killing = true
}

func (m *model) yank() {
	if len(m.kills) == 0 {
		return
	}
	m.save()
	t := m.kills[len(m.kills)-1]
	m.yankAt, m.yanked = m.pos, len(t)
	m.insert(t...)
}

func (m *model) yankPop() {
	if m.yanked == 0 || len(m.kills) < 2 {
		m.sure = false
		return
	}
	n := len(m.kills)
	m.cut(m.yankAt, m.yankAt+m.yanked)
	m.kills = append([][]rune{m.kills[n-1]}, m.kills[:n-1]...)
	t := m.kills[n-1]
	m.yankAt, m.yanked = m.pos, len(t)
	m.insert(t...)
}

// recall goes through the lines of this session that are known. What was before is not, so it is a guess.
func (m *model) recall(by int) {
	m.sure = false
	if m.hist == 0 {
		m.typed = buffer{append([]rune(nil), m.text...), m.pos}
	}
	h := m.hist + by
	switch {
	case h < 0 || h > len(m.history):
	case h == 0:
		m.hist = 0
		m.buffer = m.typed
		m.sure = true
	default:
		m.hist = h
		t := decode([]byte(m.history[len(m.history)-h]))
		m.set(t, len(t))
		if m.vi && m.command {
			m.pos = 0
		}
	}
}

// shows is what the screen shows of the text.
func (m *model) shows() []rune {
	if m.kind == cooked {
		return m.shown
	}
	return m.text
}

// lastShown is the last character that busybox shows as it is, where it knows that the terminal takes UTF-8; others are
// question marks, one each.
const lastShown = 767

// showsElse is the other way to show the text; nil where there is none.
func (m *model) showsElse() []rune {
	if m.kind != busybox {
		return nil
	}
	var out []rune
	for i, r := range m.text {
		if r <= lastShown || r >= rawByte && r <= rawByte+0xff {
			continue
		}
		if out == nil {
			out = append(out, m.text...)
		}
		out[i] = '?'
	}
	return out
}

// fits tells that a screen shows the model's text.
func (m *model) fits(seen string) bool {
	if matches(m.shows(), seen) {
		return true
	}
	if m.kind == busybox && strings.Contains(seen, "\n") {
		// It breaks rows where it thinks that they end, which behind a prompt of wide characters is not where they do.
		seen = strings.ReplaceAll(seen, "\n", "")
		if matches(m.shows(), seen) {
			return true
		}
	}
	if m.kind == fish && strings.Contains(seen, "\n") {
		// It sets further rows in, and what was typed there cannot be told from that.
		return matches(outdented(m.text), encode(outdented(decode([]byte(seen)))))
	}
	other := m.showsElse()
	return other != nil && matches(other, seen)
}

// outdented is a text without the blanks at the start of further lines.
func outdented(text []rune) []rune {
	out := make([]rune, 0, len(text))
	start := false
	for _, r := range text {
		if start = r == '\n' || start && r == ' '; start && r == ' ' {
			continue
		}
		out = append(out, r)
	}
	return out
}

// fitsEnd is how many bytes at the end of s show the model's text.
func (m *model) fitsEnd(s string) int {
	n := matchLen(s, m.shows())
	if other := m.showsElse(); n == 0 && other != nil {
		n = matchLen(s, other)
	}
	return n
}

// stepCooked is the kernel's own line discipline. A pseudo-terminal is not told that its bytes are UTF-8 unless someone
// says so, and container runtimes do not: it erases a byte at a time, and one column for each.
func (m *model) stepCooked(keys []byte) int {
	b := keys[0]
	switch b {
	case 0x7f:
		m.eraseByte()
	case 0x15:
		for len(m.text) > 0 {
			m.eraseByte()
		}
		m.shown, m.size = nil, 0
	case 0x17:
		for len(m.text) > 0 && !cookedWord(m.lastByte()) {
			m.eraseByte()
		}
		for len(m.text) > 0 && cookedWord(m.lastByte()) {
			m.eraseByte()
		}
	case 0x16:
		m.echo = append(m.echo, "^\b"...)
		if len(keys) > 1 {
			r, n := one(keys[1:])
			m.insertCooked(r)
			return 1 + n
		}
	case 0x12:
		m.again = true
		m.echo = append(m.echo, "^R\r\n"...)
		for _, r := range m.text {
			m.echoes(r)
		}
	case 0x04, 0x11, 0x13:
	default:
		r, n := one(keys)
		m.insertCooked(r)
		return n
	}
	return 1
}

func (m *model) lastByte() byte {
	last := encode(m.text[len(m.text)-1:])
	return last[len(last)-1]
}

// cookedWord is the kernel's idea of a word: letters as Latin-1 has them.
func cookedWord(b byte) bool {
	return alnum(rune(b)) && b < 0x80 || b == '_' || b >= 0xc0 && b != 0xd7 && b != 0xf7
}

func (m *model) insertCooked(r rune) {
	m.shown = append(m.shown, r)
	m.echoes(r)
	n := len(encode([]rune{r}))
	if m.size+n > canonicalMax {
		return
	}
	m.size += n
	m.move(len(m.text))
	m.insert(r)
}

// echoes adds how the kernel shows a character.
func (m *model) echoes(r rune) {
	if a := shownAs(r); a != "" {
		m.echo = append(m.echo, a...)
		return
	}
	m.echo = append(m.echo, encode([]rune{r})...)
}

func (m *model) eraseByte() {
	if len(m.text) == 0 {
		return
	}
	m.again = true
	m.echo = append(m.echo, "\b \b"...)
	if shownAs(m.text[len(m.text)-1]) != "" {
		m.echo = append(m.echo, "\b \b"...)
	}
	last := encode(m.text[len(m.text)-1:])
	m.size--
	m.text = append(m.text[:len(m.text)-1], decode([]byte(last[:len(last)-1]))...)
	m.pos = len(m.text)
	if n := len(m.shown); n > 0 {
		m.shown = m.shown[:n-1]
	}
}
