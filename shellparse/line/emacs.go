package line

import (
	"strconv"
	"strings"
	"unicode"
)

// stepEmacs takes one key as the emacs modes of the shells do.
func (m *model) stepEmacs(keys []byte) int {
	had := m.hasArg
	n := m.emacsKey(keys)
	more := len(keys) > 1 && keys[0] == 0x1b && digit(keys[1])
	if had && m.hasArg && !more {
		m.hasArg, m.sure = false, false // a count for something that is not known to take one
	}
	return n
}

func (m *model) emacsKey(keys []byte) int {
	if m.holes > 0 && !m.plain(keys[0]) {
		m.opaque = true
	}
	killing, yanked := m.killing, m.yanked
	m.killing = false
	if n, final, params := sequence(keys); n > 0 {
		m.yanked = 0
		m.cursorKey(final, params)
		return n
	}
	if keys[0] == 0x1b {
		if len(keys) < 2 {
			return 1
		}
		m.killing, m.yanked = killing, yanked
		r, n := one(keys[1:])
		if !m.meta(r) {
			m.sure = false
		}
		return 1 + n
	}
	r, n := one(keys)
	if r >= 0x20 && r != 0x7f {
		if m.pos != m.typedTo {
			m.typing = 0
		}
		m.yanked = 0
		m.selfInsert(r)
		m.typedTo = m.pos
		return n
	}
	m.killing = killing
	was := m.yanked
	extra := m.control(byte(r), keys[1:])
	if m.yanked == was {
		m.yanked = 0
	}
	switch r {
	case 0x0b, 0x15, 0x17:
	default:
		m.killing = false
	}
	return n + extra
}

// plain tells keys that do the same whatever was completed before them.
func (m *model) plain(b byte) bool {
	switch {
	case b >= 0x20 && b != 0x7f, b == '\t':
		return m.pos == len(m.text)
	case b == 0x05:
		return true
	case b == 0x08, b == 0x7f:
		return m.pos > 0
	}
	return false
}

// complete is the key that has the editor put something in at the cursor.
func (m *model) complete() {
	m.sure = false
	if m.kind == readline || m.kind == busybox {
		m.save()
		m.insert(hole)
		m.holes++
	}
}

func (m *model) selfInsert(r rune) {
	if m.kind == busybox && r >= rawByte && r <= rawByte+0xff {
		r = '?'
	}
	n := 1
	if m.hasArg {
		if m.arg < 0 || m.arg > 1000 {
			m.arg = 1
		}
		n = m.arg
		m.hasArg = false
	}
	m.saveTyping()
	for range n {
		if m.over && m.pos < len(m.text) {
			m.text[m.pos] = r
			m.pos++
			continue
		}
		m.insert(r)
	}
}

func (m *model) count() int {
	if !m.hasArg {
		return 1
	}
	m.hasArg = false
	if m.arg < 0 || m.arg > 1000 {
		m.sure = false
		return 1
	}
	return m.arg
}

// control takes a C0 control; more is what follows, of which it tells how much it took.
func (m *model) control(b byte, more []byte) int {
	switch b {
	case 0x00:
		m.mark = m.pos
	case 0x01:
		m.move(m.home())
	case 0x02:
		m.move(m.pos - m.count())
	case 0x04:
		if m.pos < len(m.text) {
			m.save()
			m.cut(m.pos, m.pos+m.count())
		}
	case 0x05:
		m.move(m.end())
	case 0x06:
		m.move(m.pos + m.count())
	case 0x08, 0x7f:
		if n := min(m.count(), m.pos); n > 0 && m.text[m.pos-1] != hole { // what was completed becomes shorter, or is none
			m.save()
			m.cut(m.pos-n, m.pos)
		}
	case '\t':
		m.complete()
	case 0x0b:
		m.kill(m.pos, m.end())
	case 0x0c, 0x07, 0x11, 0x13:
		// Clear screen, abort, and flow control: the text stays.
	case 0x0e:
		m.recall(-1)
	case 0x10:
		m.recall(1)
	case 0x14:
		m.transpose()
	case 0x15:
		switch m.kind {
		case zle, mksh:
			m.kill(0, len(m.text))
		case ksh93:
			m.kill(0, len(m.text))
		default:
			m.kill(m.home(), m.pos)
		}
	case 0x16:
		if len(more) == 0 {
			return 0
		}
		if m.kind == fish || m.kind == busybox {
			m.sure = false
		}
		r, n := one(more)
		m.selfInsert(r)
		return n
	case 0x17:
		m.wordRubout()
	case 0x18:
		return m.ctrlX(more)
	case 0x19:
		m.yank()
	case 0x1d:
		if len(more) > 0 {
			r, n := one(more)
			m.search(r, true)
			return n
		}
	case 0x1f:
		m.undoOne()
	default:
		m.sure = false
	}
	return 0
}

func (m *model) home() int {
	if m.kind == fish || m.kind == zle {
		return m.lineStart()
	}
	return 0
}

func (m *model) end() int {
	if m.kind == fish || m.kind == zle {
		return m.lineEnd()
	}
	return len(m.text)
}

func (m *model) wordRubout() {
	switch m.kind {
	case zle:
		m.kill(m.back(zleWord), m.pos)
	case fish:
		m.kill(m.back(fishWord), m.pos)
	case ksh93:
		m.kill(min(m.mark, len(m.text)), m.pos)
	default:
		m.kill(m.back(notBlank), m.pos)
	}
}

func (m *model) word() func(rune) bool {
	switch m.kind {
	case zle:
		return zleWord
	case fish:
		return fishWord
	}
	return alnum
}

func (m *model) transpose() {
	if len(m.text) < 2 || m.pos == 0 {
		return
	}
	m.save()
	p, n := m.pos, 1
	if m.kind == readline {
		n = m.count() // how far the character is taken
	}
	if p == len(m.text) {
		p, n = p-1, 1
	}
	if n < 1 || n > len(m.text)-p {
		m.sure = false
		return
	}
	c := m.text[p-1]
	copy(m.text[p-1:], m.text[p:p+n])
	m.text[p-1+n] = c
	m.move(p + n)
}

// search moves to a character, as ^] does.
func (m *model) search(r rune, ahead bool) {
	if ahead {
		for i := m.pos + 1; i < len(m.text); i++ {
			if m.text[i] == r {
				m.pos = i
				return
			}
		}
		return
	}
	for i := m.pos - 1; i >= 0; i-- {
		if m.text[i] == r {
			m.pos = i
			return
		}
	}
}

func (m *model) ctrlX(more []byte) int {
	if len(more) == 0 {
		return 0
	}
	switch more[0] {
	case 0x15:
		m.undoOne()
	case 0x18:
		m.mark, m.pos = m.pos, m.clamp(m.mark)
	case 0x7f, 0x08:
		m.kill(m.home(), m.pos)
	default:
		m.sure = false
	}
	return 1
}

// meta takes what follows ESC. It tells whether the effect is known.
func (m *model) meta(r rune) bool {
	word := m.word()
	switch {
	case r >= '0' && r <= '9' && (m.kind == readline || m.kind == zle):
		if !m.hasArg {
			m.arg = 0
		}
		m.hasArg = true
		m.arg = min(m.arg*10+int(r-'0'), 10000)
		return true
	case r == 'b' || r == 'B':
		for range m.count() {
			m.move(m.back(word))
		}
	case r == 'f' || r == 'F':
		for range m.count() {
			m.move(m.wordRight())
		}
	case r == 'd' || r == 'D':
		at := m.pos
		m.kill(at, m.forward(word))
		return true
	case r == 0x7f || r == 0x08:
		m.kill(m.back(word), m.pos)
		return true
	case r == 'u' || r == 'U':
		m.changeCase(func(i int, r rune) rune { return unicode.ToUpper(r) })
	case r == 'l' || r == 'L':
		if m.kind == fish {
			return false
		}
		m.changeCase(func(i int, r rune) rune { return unicode.ToLower(r) })
	case r == 'c' || r == 'C':
		m.changeCase(func(i int, r rune) rune {
			if i == 0 {
				return unicode.ToUpper(r)
			}
			return unicode.ToLower(r)
		})
	case r == 't' || r == 'T':
		m.transposeWords()
	case r == 'y' && m.kind != fish:
		m.yankPop()
		return true
	case r == '\\':
		m.save()
		a, b := m.pos, m.pos
		for a > 0 && !notBlank(m.text[a-1]) {
			a--
		}
		for b < len(m.text) && !notBlank(m.text[b]) {
			b++
		}
		m.cut(a, b)
	case r == ' ':
		m.mark = m.pos
	case r == 'r' || r == 'R':
		m.set(nil, 0)
		m.undo = nil
		return m.kind == readline
	case r == '.' || r == '_':
		m.lastWord()
		return true
	case r == '\r' || r == '\n':
		m.insert('\n')
		return m.kind == zle || m.kind == fish
	default:
		return false
	}
	m.yanked = 0
	return true
}

func (m *model) wordRight() int {
	if m.kind == zle {
		return m.next(zleWord)
	}
	return m.forward(m.word())
}

func (m *model) changeCase(f func(int, rune) rune) {
	m.save()
	i := m.pos
	for i < len(m.text) && !m.word()(m.text[i]) {
		i++
	}
	for n := 0; i < len(m.text) && m.word()(m.text[i]); n++ {
		m.text[i] = f(n, m.text[i])
		i++
	}
	m.pos = i
}

func (m *model) transposeWords() {
	word := m.word()
	end := m.forward(word)
	b := buffer{m.text, end}
	start2 := b.back(word)
	b.pos = start2
	start1 := b.back(word)
	b.pos = start1
	end1 := b.forward(word)
	if end1 > start2 || start1 == start2 {
		return
	}
	m.save()
	t := append([]rune(nil), m.text[:start1]...)
	t = append(t, m.text[start2:end]...)
	t = append(t, m.text[end1:start2]...)
	t = append(t, m.text[start1:end1]...)
	t = append(t, m.text[end:]...)
	m.set(t, end)
}

// lastWord inserts the last word of the line before, which is known only for lines of this session.
func (m *model) lastWord() {
	m.sure = false
	if len(m.history) == 0 {
		return
	}
	f := strings.Fields(m.history[len(m.history)-1])
	if len(f) > 0 {
		m.insert(decode([]byte(f[len(f)-1]))...)
	}
}

// cursorKey takes a function key.
func (m *model) cursorKey(final byte, params string) {
	switch final {
	case 'D', 'C':
		right := final == 'C'
		if strings.HasSuffix(params, ";5") || strings.HasSuffix(params, ";3") {
			if right {
				m.move(m.wordRight())
			} else {
				m.move(m.back(m.word()))
			}
			return
		}
		if right {
			m.move(m.pos + m.count())
		} else {
			m.move(m.pos - m.count())
		}
	case 'H':
		m.move(m.home())
	case 'F':
		m.move(m.end())
	case 'A':
		m.recall(1)
	case 'B':
		m.recall(-1)
	case '~':
		p, _ := strconv.Atoi(strings.SplitN(params, ";", 2)[0])
		switch p {
		case 1, 7:
			m.move(m.home())
		case 4, 8:
			m.move(m.end())
		case 3:
			if m.pos < len(m.text) {
				m.save()
				m.cut(m.pos, m.pos+1)
			}
		case 2:
			m.over = !m.over
			if m.kind != zle && m.kind != readline {
				m.sure = false
			}
		default:
			m.sure = false
		}
	case 'I', 'O': // focus
	default:
		m.sure = false
	}
}
