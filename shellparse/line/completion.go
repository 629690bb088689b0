package line

// completion is what was written since an editor was first told to complete something. A file's name, which anybody may
// have chosen, must not be able to draw another line than the one that it is put into.
type completion struct {
	keys    int  // that completed
	over    bool // the line was submitted since: what follows is no answer to them alone
	returns int  // to the beginning of a row
	feeds   int  // line feeds
	bells   int
	escapes int
	other   bool
	escape  escape
}

// escape is how far into an escape sequence the output is.
type escape uint8

const (
	none escape = iota
	begun
	parameters
)

// drawn takes output.
func (c *completion) drawn(p []byte) {
	if c.keys == 0 || c.over {
		return
	}
	for _, b := range p {
		switch {
		case c.escape == begun:
			c.other = c.other || b != '['
			c.escape = parameters
		case c.escape == parameters:
			if b >= '0' && b <= '9' {
				continue
			}
			switch b {
			case 'J', 'K', 'C', 'D', 'm', '@', 'P':
			default:
				c.other = true
			}
			c.escape = none
		case b == 0x1b:
			c.escapes++
			c.escape = begun
		case b == 0x07:
			c.bells++
		case b == '\r':
			c.returns++
		case b == '\n':
			c.feeds++
		case b < 0x20 && b != 0x08, b == 0x7f:
			c.other = true
		}
	}
}

// honest tells that only the line can have been drawn. Readline, which announces itself, shows what is no text as text,
// and lists what there is to choose from in rows of their own; busybox writes names as they are.
func (c *completion) honest(announced bool) bool {
	return c.escape == none && (announced || !c.other && c.feeds == 0 && c.returns <= c.keys)
}

// allows tells that an editor of a kind can have written that. The kernel shows the key as blanks and nothing else.
func (c *completion) allows(k kind, announced bool) bool {
	switch {
	case c.keys == 0:
		return true
	case k == cooked:
		return c.returns+c.feeds+c.bells+c.escapes == 0
	}
	return c.honest(announced)
}
