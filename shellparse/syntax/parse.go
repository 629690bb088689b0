package syntax

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	sh "mvdan.cc/sh/v3/syntax"
)

const (
	maxFrames   = 4000 // of the parser's recursion; some ten a level of nesting
	maxCommands = 4000
	maxWords    = 200_000
	maxValues   = 8           // that a variable is remembered to have
	maxCode     = 4 * MaxText // bytes of code that are read in all, code within code included
	maxDepth    = 40          // of code within code, as in sh -c "sh -c …", and of the tree
)

// Parse takes a text apart as the shell of that dialect would. With an error the text may run anything; with
// ErrIncomplete and ErrUnparsable there is a script all the same, of what could be read in spite of the fault.
func Parse(text string, dialect Dialect) (*Script, error) {
	return ParseIn(text, dialect, Session{})
}

// Session is what is known of the shell that reads a text.
type Session struct {
	Defined func(name string) bool // says whether a name was given another meaning: a call of one may leave another directory and other values behind
	Numbers []string               // variables that surely hold numbers
	Typed   bool                   // it is typed at a prompt, where not all shells know comments
}

// ParseIn is Parse in a session.
func ParseIn(text string, dialect Dialect, session Session) (*Script, error) {
	if len(text) > MaxText {
		return nil, ErrTooLong
	}
	if crowded(text) {
		return nil, ErrTooMany
	}
	c := &collector{dialect: dialect, top: true, session: session.Defined, numbers: session.Numbers, strays: setsHome(text)}
	err := c.code(text, dialect)
	switch {
	case c.err != nil:
		return nil, c.err
	case err == nil && continued(text, dialect):
		err = ErrIncomplete
	case errors.Is(err, ErrIncomplete) || errors.Is(err, ErrUnparsable):
		c = &collector{dialect: dialect, top: true, session: session.Defined, numbers: session.Numbers, strays: setsHome(text)}
		c.salvage(text)
		if c.err != nil {
			return nil, c.err
		}
	case err != nil:
		return nil, err
	}
	if session.Typed {
		if c.uncommented(text, err); c.err != nil {
			return nil, c.err
		}
	}
	c.relyOn()
	c.lasting()
	if strings.HasPrefix(text, "^") && (dialect == Bash || dialect == Zsh) {
		c.script.History = true
	}
	return &c.script, err
}

// crowded says whether a text has more of the characters that make commands, words and their parts than any line that
// somebody means. It bounds what the parser can be made to allocate.
func crowded(text string) bool {
	var commands, words, parts int
	for i := range len(text) {
		switch text[i] {
		case ';', '|', '&', '\n':
			commands++
		case ' ', '\t':
			words++
		case '$', '`', '<', '>', '(', '{', '[', '*', '?', '"', '\'', '=', '!', '+', '-':
			parts++
		}
	}
	return commands > 40_000 || words > 250_000 || parts > 100_000
}

// continued says whether a text ends with a backslash that joins the next line to it.
func continued(text string, dialect Dialect) bool {
	body := strings.TrimRight(text, `\`)
	if (len(text)-len(body))%2 == 0 {
		return false
	}
	// A quote in its place opens a string, unless it stands in a comment, where the backslash means nothing either.
	c := &collector{dialect: dialect}
	return c.code(text[:len(text)-1]+"'", dialect) != nil
}

// salvage collects the commands of a text that does not parse, as far as they can be made out.
func (c *collector) salvage(text string) {
	if strings.ContainsAny(text, "\x00\r") || c.dialect == Fish {
		return
	}
	c.depth++
	for _, lang := range variants(text, c.dialect) {
		w := walker{collector: c, lang: lang, text: text}
		at := place{dirs: []string{Here}, moved: []string{Here}}
		p := sh.NewParser(sh.Variant(lang), sh.RecoverErrors(maxDepth))
		for s, err := range p.StmtsSeq(&boundedReader{rest: text}) {
			if err == nil { // the error comes last, and is known already; the sequence does not bear being left
				w.stmt(s, &at)
			}
		}
	}
	c.depth--
}

// variants are the grammars that the text may be read by: sh may be bash, ash or dash, which differ in what `$'…'`,
// `&>` or `{a,b}` are, so that both readings count.
func variants(text string, dialect Dialect) []sh.LangVariant {
	switch dialect {
	case POSIX:
		if !strings.ContainsAny(text, "$<>&|[({") && !strings.Contains(text, "function") && !strings.Contains(text, "coproc") &&
			!strings.Contains(text, "select") && !strings.Contains(text, "time") && !strings.Contains(text, "=") {
			return []sh.LangVariant{sh.LangPOSIX}
		}
		return []sh.LangVariant{sh.LangPOSIX, sh.LangBash}
	case Mksh:
		return []sh.LangVariant{sh.LangMirBSDKorn, sh.LangBash}
	case Zsh:
		return []sh.LangVariant{sh.LangZsh}
	}
	return []sh.LangVariant{sh.LangBash}
}

// parsers are ready to read another text; each is a page of memory.
var parsers = sync.Pool{New: func() any { return sh.NewParser() }}

// parseFile reads a text by one grammar.
func parseFile(text string, lang sh.LangVariant) (*sh.File, error) {
	if strings.Contains(text, "#") && strings.Contains(text, "\\\n") {
		var err error
		if text, err = endComments(text, lang); err != nil {
			return nil, err
		}
	}
	p := parsers.Get().(*sh.Parser)
	sh.Variant(lang)(p)
	f, err := p.Parse(&boundedReader{rest: text + "\n", flat: len(text) < maxFrames/20}, "")
	switch {
	case err == nil:
		parsers.Put(p) // one that gave up somewhere may remember where
		return f, nil
	case errors.Is(err, ErrTooDeep):
		return nil, ErrTooDeep
	case sh.IsIncomplete(err):
		return nil, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnparsable, err)
}

// boundedReader hands out a text and ends the parser that reads it once that has recursed too deeply: a parser which
// descends a call for each bracket would otherwise take a stack as large as the text pleases.
type boundedReader struct {
	rest string
	flat bool // too short to nest that deep
}

func (r *boundedReader) Read(p []byte) (int, error) {
	var pc [1]uintptr
	if !r.flat && runtime.Callers(maxFrames, pc[:]) > 0 {
		return 0, ErrTooDeep
	}
	if r.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// setsHome says whether a text may set HOME or PWD: it names one other than to expand it. What is set late in a loop or
// in a function counts before as well.
func setsHome(text string) bool {
	for _, name := range []string{"HOME", "PWD"} {
		for rest := text; ; {
			before, after, found := strings.Cut(rest, name)
			if !found {
				break
			}
			if !strings.HasSuffix(before, "$") && !strings.HasSuffix(before, "${") && (after == "" || !isWordByte(after[0])) &&
				(before == "" || !isWordByte(before[len(before)-1])) {
				return true
			}
			rest = after
		}
	}
	return false
}
