package syntax

import "strings"

// grammar is how a program reads its options.
type grammar struct {
	short string   // getopt's notation: a letter, with ":" when it takes a value, "::" when one may be attached
	long  []string // without the dashes, with "=" at the end when they take a value
}

// option is one that was given.
type option struct {
	name  string // "-c" or "--command"
	value Word
}

// parsed is what the options at the start of words turned out to be.
type parsed struct {
	options []option
	rest    int  // index of the first word that is no option
	clear   bool // all of it was understood
}

func (p parsed) value(names ...string) (Word, bool) {
	for _, o := range p.options {
		for _, n := range names {
			if o.name == n {
				return o.value, true
			}
		}
	}
	return Word{}, false
}

func (p parsed) has(names ...string) bool {
	_, ok := p.value(names...)
	return ok
}

// parse reads the options at the start of words, which do not begin with the program.
func (g grammar) parse(words []Word) parsed {
	out := parsed{clear: true}
	for i := 0; i < len(words); {
		text, known := words[i].Known()
		switch {
		case !known:
			// A value that may be an option or several words: what follows cannot be placed.
			p := words[i].Prefix()
			out.rest = i
			out.clear = out.clear && p != "" && p[0] != '-'
			return out
		case text == "--":
			out.rest = i + 1
			return out
		case len(text) < 2 || text[0] != '-':
			out.rest = i
			return out
		}
		read := g.cluster
		if strings.HasPrefix(text, "--") {
			read = g.longOption
		}
		n, ok := read(text, words[i+1:], &out)
		out.clear = out.clear && ok
		i += n
		out.rest = min(i, len(words))
	}
	return out
}

// longOption reads --name, --name=value, --name value and unambiguous abbreviations of them.
func (g grammar) longOption(text string, next []Word, out *parsed) (words int, ok bool) {
	name, value, attached := strings.Cut(text[2:], "=")
	match, takes, found := "", false, 0
	for _, l := range g.long {
		full := strings.TrimSuffix(l, "=")
		if strings.HasPrefix(full, name) {
			match, takes = full, full != l
			found++
		}
		if full == name {
			found = 1
			break
		}
	}
	if found != 1 {
		return 1, false
	}
	o := option{name: "--" + match}
	words, ok = 1, true
	switch {
	case attached:
		o.value = Text(value)
	case takes && len(next) > 0:
		o.value = next[0]
		words, ok = 2, !next[0].Split
	case takes:
		ok = false
	}
	out.options = append(out.options, o)
	return words, ok
}

// cluster reads -abc or -n5 or -n 5.
func (g grammar) cluster(text string, next []Word, out *parsed) (words int, ok bool) {
	for i := 1; i < len(text); i++ {
		at := strings.IndexByte(g.short, text[i])
		if at < 0 || text[i] == ':' {
			return 1, false
		}
		o := option{name: "-" + text[i:i+1]}
		after := g.short[at+1:]
		takes, attached := strings.HasPrefix(after, ":"), strings.HasPrefix(after, "::") || i+1 < len(text)
		switch {
		case !takes:
			out.options = append(out.options, o)
			continue
		case attached:
			o.value = Text(text[i+1:])
			words, ok = 1, true
		case len(next) == 0:
			return 1, false
		default:
			o.value = next[0]
			words, ok = 2, !next[0].Split
		}
		out.options = append(out.options, o)
		return words, ok
	}
	return 1, true
}
