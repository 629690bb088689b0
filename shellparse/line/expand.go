package line

import "strings"

// expansion waits for the line that a shell prints when it has replaced a history reference in what was entered.
type expansion struct {
	active bool
	parts  []string
	from   int
}

// arm begins to wait when the text refers to history.
func (x *expansion) arm(text string, row int, t *Tracker) {
	x.active = false
	if t.kernel || len(t.lines) == 0 {
		return
	}
	parts := references(text)
	if parts == nil {
		return
	}
	*x = expansion{active: true, parts: parts, from: row}
}

// feed is told the row that a line feed leaves.
func (x *expansion) feed(t *Tracker, row int) {
	if !x.active || t.open {
		return
	}
	if row <= x.from {
		return
	}
	s := t.rowText(row)
	x.active = false
	if len(t.lines) == 0 || refusal(s) || !follows(s, x.parts) {
		return
	}
	l := &t.lines[len(t.lines)-1]
	l.Text = s
	if len(t.history) > 0 {
		t.history[len(t.history)-1] = s
	}
	t.shells.ran(s)
}

// refusal tells that a shell says, under its own name, that there is nothing that a reference means.
func refusal(s string) bool {
	name, _, ok := strings.Cut(s, ": ")
	if !ok {
		return false
	}
	switch strings.TrimPrefix(name, "-") {
	case "bash", "rbash", "sh", "zsh":
		return true
	}
	return false
}

// references cuts a line at its history references; nil when it has none.
func references(text string) []string {
	if strings.HasPrefix(text, "^") && strings.Count(text, "^") >= 2 {
		return []string{"", ""}
	}
	var parts []string
	from := 0
	single := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '\'':
			single = !single
		case c == '!' && !single && i+1 < len(text) && !strings.ContainsRune(" \t=(\n\"", rune(text[i+1])):
			parts = append(parts, text[from:i])
			i++
			for i < len(text) && !strings.ContainsRune(" \t;|&<>()\"'", rune(text[i])) {
				i++
			}
			from = i
			i--
		}
	}
	if parts == nil {
		return nil
	}
	return append(parts, text[from:])
}

// follows tells that s has the literal parts in order, from its start to its end.
func follows(s string, parts []string) bool {
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	rest := s[len(parts[0]):]
	last := strings.TrimRight(parts[len(parts)-1], " ")
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(strings.TrimRight(rest, " "), last) && strings.TrimSpace(s) != "" && !strings.Contains(s, "event not found")
}
