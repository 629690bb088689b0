package line

// stepVi takes one key as the vi modes of the shells do.
func (m *model) stepVi(keys []byte) int {
	if n, final, params := sequence(keys); n > 0 {
		m.cursorKey(final, params)
		return n
	}
	r, n := one(keys)
	if r == 0x1b {
		if !m.command {
			m.command = true
			m.move(max(m.pos-1, 0))
		}
		m.hasArg = false
		return n
	}
	if !m.command {
		switch {
		case r >= 0x20 && r != 0x7f:
			m.selfInsert(r)
		case r == 0x16:
			if len(keys) > 1 {
				c, k := one(keys[1:])
				m.insert(c)
				return 1 + k
			}
		case r == 0x15:
			m.save()
			m.cut(0, m.pos)
		case r == 0x17:
			m.kill(m.back(notBlank), m.pos)
		case r == 0x7f || r == 0x08:
			if m.pos > 0 {
				m.cut(m.pos-1, m.pos)
			}
		default:
			m.control(byte(r), nil)
		}
		return n
	}
	return n + m.viCommand(r, keys[n:])
}

func (m *model) insertMode() { m.command = false; m.save() }

// viCommand takes a command-mode key and tells how much of what follows it took.
func (m *model) viCommand(r rune, more []byte) int {
	if r >= '1' && r <= '9' || r == '0' && m.hasArg {
		if !m.hasArg {
			m.arg = 0
		}
		m.hasArg = true
		m.arg = min(m.arg*10+int(r-'0'), 10000)
		return 0
	}
	last := max(len(m.text)-1, 0)
	switch r {
	case 'i':
		m.insertMode()
	case 'a':
		m.insertMode()
		m.move(m.pos + 1)
	case 'I':
		m.insertMode()
		m.move(0)
	case 'A':
		m.insertMode()
		m.move(len(m.text))
	case 'x':
		m.kill(m.pos, m.pos+m.count())
		m.move(min(m.pos, max(len(m.text)-1, 0)))
	case 'X':
		m.kill(m.pos-m.count(), m.pos)
	case 's':
		m.kill(m.pos, m.pos+m.count())
		m.insertMode()
	case 'S':
		m.kill(0, len(m.text))
		m.insertMode()
	case 'D':
		m.kill(m.pos, len(m.text))
		m.move(max(len(m.text)-1, 0))
	case 'C':
		m.kill(m.pos, len(m.text))
		m.insertMode()
	case 'p', 'P':
		if len(m.kills) == 0 {
			return 0
		}
		m.save()
		if r == 'p' {
			m.move(m.pos + 1)
		}
		m.insert(m.kills[len(m.kills)-1]...)
		m.move(m.pos - 1)
	case 'r':
		if len(more) == 0 {
			return 0
		}
		c, n := one(more)
		if m.pos < len(m.text) {
			m.save()
			m.text[m.pos] = c
		}
		return n
	case '~':
		m.save()
		for range m.count() {
			if m.pos < len(m.text) {
				m.text[m.pos] = swapCase(m.text[m.pos])
				m.move(min(m.pos+1, last))
			}
		}
	case 'u':
		m.undoOne()
		m.move(min(m.pos, max(len(m.text)-1, 0)))
	case 'k', '-':
		m.recall(m.count())
	case 'j', '+':
		m.recall(-m.count())
	case 'd', 'c', 'y':
		return m.viOperator(r, more)
	default:
		to, took, ok := m.motion(r, more)
		if !ok {
			m.sure = false
			return took
		}
		m.move(min(to, last))
		return took
	}
	return 0
}

func (m *model) viOperator(op rune, more []byte) int {
	if len(more) == 0 {
		return 0
	}
	r, n := one(more)
	for r >= '1' && r <= '9' {
		if !m.hasArg {
			m.arg = 0
		}
		m.hasArg = true
		m.arg = m.arg*10 + int(r-'0')
		more = more[1:]
		if len(more) == 0 {
			return n
		}
		r, _ = one(more)
		n++
	}
	var to, took int
	from := m.pos
	if r == op {
		from, to = 0, len(m.text)
	} else {
		var ok bool
		cw := op == 'c' && (r == 'w' || r == 'W') && m.pos < len(m.text) && notBlank(m.text[m.pos])
		if cw {
			r += 'e' - 'w'
		}
		to, took, ok = m.motion(r, more[1:])
		if !ok {
			m.sure = false
			return n + took
		}
		switch r {
		case 'e', 'E', 'f', 't', '%', ';':
			to++
		case '$':
			to = len(m.text)
		}
	}
	switch op {
	case 'y':
		a, b := m.clamp(min(from, to)), m.clamp(max(from, to))
		m.kills = append(m.kills, append([]rune(nil), m.text[a:b]...))
		m.move(a)
	case 'd':
		m.kill(from, to)
		m.move(min(m.pos, max(len(m.text)-1, 0)))
	case 'c':
		m.kill(from, to)
		m.insertMode()
	}
	m.killing = false
	return n + took
}

func swapCase(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z':
		return r - 32
	case r >= 'A' && r <= 'Z':
		return r + 32
	}
	return r
}

// viClass tells words, punctuation and blanks apart.
func viClass(r rune, big bool) int {
	switch {
	case !notBlank(r):
		return 0
	case big || alnum(r) || r == '_':
		return 1
	}
	return 2
}

// motion tells where a movement leads from the cursor.
func (m *model) motion(r rune, more []byte) (to, took int, ok bool) {
	at := m.pos
	n := m.count()
	big := r == 'W' || r == 'B' || r == 'E'
	switch r {
	case 'h', 0x7f, 0x08:
		return m.clamp(at - n), 0, true
	case 'l', ' ':
		return m.clamp(at + n), 0, true
	case '0':
		return 0, 0, true
	case '^':
		i := 0
		for i < len(m.text) && !notBlank(m.text[i]) {
			i++
		}
		return i, 0, true
	case '$':
		return max(len(m.text)-1, 0), 0, true
	case 'w', 'W':
		for range n {
			at = m.viNext(at, big)
		}
		return at, 0, true
	case 'b', 'B':
		for range n {
			at = m.viBack(at, big)
		}
		return at, 0, true
	case 'e', 'E':
		for range n {
			at = m.viEnd(at, big)
		}
		return at, 0, true
	case 'f', 'F', 't', 'T':
		if len(more) == 0 {
			return at, 0, false
		}
		c, k := one(more)
		m.find, m.findCmd = c, r
		to, ok = m.viFind(at, r, c, n)
		return to, k, ok
	case ';':
		to, ok = m.viFind(at, m.findCmd, m.find, n)
		return to, 0, ok
	}
	return at, 0, false
}

func (m *model) viNext(i int, big bool) int {
	if i >= len(m.text) {
		return i
	}
	c := viClass(m.text[i], big)
	for i < len(m.text) && viClass(m.text[i], big) == c && c != 0 {
		i++
	}
	for i < len(m.text) && viClass(m.text[i], big) == 0 {
		i++
	}
	return i
}

func (m *model) viBack(i int, big bool) int {
	i--
	for i > 0 && viClass(m.text[i], big) == 0 {
		i--
	}
	if i <= 0 {
		return 0
	}
	c := viClass(m.text[i], big)
	for i > 0 && viClass(m.text[i-1], big) == c {
		i--
	}
	return i
}

func (m *model) viEnd(i int, big bool) int {
	i++
	for i < len(m.text) && viClass(m.text[i], big) == 0 {
		i++
	}
	if i >= len(m.text) {
		return max(len(m.text)-1, 0)
	}
	c := viClass(m.text[i], big)
	for i+1 < len(m.text) && viClass(m.text[i+1], big) == c {
		i++
	}
	return i
}

func (m *model) viFind(at int, cmd, c rune, n int) (int, bool) {
	step := 1
	if cmd == 'F' || cmd == 'T' {
		step = -1
	}
	for i := at + step; i >= 0 && i < len(m.text); i += step {
		if m.text[i] != c {
			continue
		}
		if n--; n > 0 {
			continue
		}
		switch cmd {
		case 't':
			i--
		case 'T':
			i++
		}
		return i, true
	}
	return at, false
}
