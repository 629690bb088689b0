package syntax

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	sh "mvdan.cc/sh/v3/syntax"
)

// maxComments is how many comments may stand behind each other in a line of zsh before what follows counts as unknown.
const maxComments = 20

// uncommented reads a line that is typed in zsh once more, as it is while the option interactive_comments is off, its
// default: a # begins no comment then. Err says how the other reading ended.
func (c *collector) uncommented(text string, err error) {
	if c.dialect != Zsh || !strings.Contains(text, "#") {
		return
	}
	escaped, all := escapeComments(text, err == nil)
	if escaped == text {
		return
	}
	at := place{dirs: []string{Here}, moved: []string{Here}, certain: true}
	first := len(c.script.Commands)
	again := c.codeAt(escaped, Zsh, at)
	if !all || (again == nil) != (err == nil) || err == nil && continued(escaped, Zsh) {
		c.undecidable("what follows the # depends on whether this zsh takes it for a comment", at)
	}
	for i := first; i < len(c.script.Commands); i++ {
		if cmd := &c.script.Commands[i]; strings.HasPrefix(cmd.Source, `\#`) { // there is no program of such a name
			cmd.Words, cmd.Source = nil, ""
		}
	}
}

// escapeComments has no # of the text begin a comment. In a text that does not parse it also takes some for one that
// are none.
func escapeComments(text string, parses bool) (escaped string, all bool) {
	if !parses {
		var b strings.Builder
		for i := range len(text) {
			if text[i] == '#' && (i == 0 || strings.IndexByte(" \t\n;&|()`{}", text[i-1]) >= 0) {
				b.WriteByte('\\')
			}
			b.WriteByte(text[i])
		}
		return b.String(), true
	}
	for range maxComments {
		found, err := comments(text, sh.LangZsh)
		if err != nil || len(found) == 0 {
			return text, true // an error is one of the other reading as well
		}
		var b strings.Builder
		from := uint(0)
		for _, at := range found {
			b.WriteString(text[from:at] + `\`)
			from = at
		}
		text = b.String() + text[from:]
	}
	return text, false
}

// comments lists where a text's comments begin.
func comments(text string, lang sh.LangVariant) ([]uint, error) {
	f, err := sh.NewParser(sh.Variant(lang), sh.KeepComments(true)).Parse(&boundedReader{rest: text + "\n"}, "")
	if err != nil {
		return nil, err
	}
	var found []uint
	sh.Walk(f, func(n sh.Node) bool {
		if comment, ok := n.(*sh.Comment); ok {
			found = append(found, comment.Hash.Offset())
		}
		return true
	})
	slices.Sort(found)
	return found, nil
}

var commentGoesOn = regexp.MustCompile(`(^|[\s;&|()\x60])#[^\n]*\\\n`)

// endComments takes the backslash off the end of a comment's row: to shells it is part of the comment, and the next row
// a command; the parser takes that for more of the comment.
func endComments(text string, lang sh.LangVariant) (string, error) {
	if !commentGoesOn.MatchString(text) {
		return text, nil
	}
	for range maxComments {
		found, err := comments(text, lang)
		if err != nil {
			return "", fmt.Errorf("%w: a comment ends with a backslash: %w", ErrUnparsable, err)
		}
		out := []byte(text)
		for _, at := range found {
			row, _, more := strings.Cut(text[at:], "\n")
			if more && strings.HasSuffix(row, `\`) {
				out[int(at)+len(row)-1] = '.' // #nosec G115 -- the text is short
			}
		}
		if string(out) == text {
			return text, nil
		}
		text = string(out)
	}
	return "", ErrTooMany
}
