// Package picker lets somebody with a terminal choose one of many lines: type to filter, move, Enter. It owns the keys,
// the filter and the screen. It knows no pods and no sessions: what the lines stand for is the caller's, and so is the
// connection.
package picker

import (
	"strings"
	"unicode"

	"github.com/podbastion/podbastion/internal/tty"
)

// Item is one line to choose. Text is what is chosen, Note says more about it; both are looked through by the filter.
// Characters that are not plain on a terminal are shown as question marks.
type Item struct {
	Text string
	Note string
}

// Outcome is what keys led to.
type Outcome int

const (
	Choosing Outcome = iota
	Chosen
	Cancelled
)

const maxQuery = 200 // characters

// Model is a picker without a terminal: keys go in, a screen comes out. It is not safe for concurrent use.
type Model struct {
	title  string
	items  []Item
	lower  []string // what the filter looks through
	width  int      // of the widest text
	size   tty.Size
	keys   decoder
	query  []rune
	match  []int // items that the filter leaves, in order
	cursor int   // in match
	top    int   // the first of match on the screen
}

// New returns a picker over items.
func New(title string, items []Item, size tty.Size) *Model {
	m := &Model{title: plain(title), items: make([]Item, len(items)), lower: make([]string, len(items))}
	for i, it := range items {
		m.items[i] = Item{Text: plain(it.Text), Note: plain(it.Note)}
		m.lower[i] = strings.ToLower(m.items[i].Text + " " + m.items[i].Note)
		m.width = max(m.width, width(m.items[i].Text))
	}
	m.filter()
	m.Resize(size)
	return m
}

// plain replaces what a terminal might obey or hide.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Resize tells the terminal's size. A size of nothing counts as 80×24.
func (m *Model) Resize(size tty.Size) {
	if size.Cols == 0 || size.Rows == 0 {
		size = tty.Size{Cols: 80, Rows: 24}
	}
	m.size = tty.Size{Cols: min(size.Cols, 500), Rows: min(size.Rows, 200)}
	m.scroll()
}

// Keys takes what was typed, in pieces of any size. When it leads to an outcome, rest is what was typed after.
func (m *Model) Keys(p []byte) (out Outcome, rest []byte) {
	for i, b := range p {
		k, r := m.keys.next(b)
		if out := m.press(k, r); out != Choosing {
			return out, p[i+1:]
		}
	}
	return Choosing, nil
}

// Waiting tells whether the keys so far may be the beginning of an escape sequence. If nothing follows for a moment,
// Settle decides that they were the Escape key.
func (m *Model) Waiting() bool { return m.keys.state == escaped }

// Settle takes a lone Escape for what it is.
func (m *Model) Settle() Outcome {
	if m.Waiting() {
		return Cancelled
	}
	return Choosing
}

// Choice is the index of the item under the cursor, -1 if there is none.
func (m *Model) Choice() int {
	if len(m.match) == 0 {
		return -1
	}
	return m.match[m.cursor]
}

func (m *Model) press(k key, r rune) Outcome {
	page := max(1, m.rows()-1)
	switch k {
	case keyRune:
		if len(m.query) < maxQuery {
			m.query = append(m.query, r)
			m.filter()
		}
	case keyBackspace:
		if n := len(m.query); n > 0 {
			m.query = m.query[:n-1]
			m.filter()
		}
	case keyClear:
		m.query = nil
		m.filter()
	case keyWord:
		text := strings.TrimRight(string(m.query), " ")
		m.query = []rune(text[:strings.LastIndexByte(text, ' ')+1])
		m.filter()
	case keyUp:
		m.move(m.cursor - 1)
	case keyDown:
		m.move(m.cursor + 1)
	case keyPageUp:
		m.move(m.cursor - page)
	case keyPageDown:
		m.move(m.cursor + page)
	case keyHome:
		m.move(0)
	case keyEnd:
		m.move(len(m.match) - 1)
	case keyEnter:
		if len(m.match) > 0 {
			return Chosen
		}
	case keyCancel:
		return Cancelled
	}
	return Choosing
}

// filter keeps the items that hold every word of the query, and the cursor on its item if that is still there.
func (m *Model) filter() {
	at := m.Choice()
	words := strings.Fields(strings.ToLower(string(m.query)))
	m.match, m.cursor, m.top = m.match[:0], 0, 0
	for i, text := range m.lower {
		if holdsAll(text, words) {
			if i == at {
				m.cursor = len(m.match)
			}
			m.match = append(m.match, i)
		}
	}
	m.scroll()
}

func holdsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func (m *Model) move(to int) {
	m.cursor = max(0, min(to, len(m.match)-1))
	m.scroll()
}

// scroll keeps the cursor on the screen.
func (m *Model) scroll() {
	rows := max(1, m.rows())
	m.top = max(0, min(m.top, len(m.match)-rows))
	if m.cursor < m.top {
		m.top = m.cursor
	}
	if m.cursor >= m.top+rows {
		m.top = m.cursor - rows + 1
	}
}
