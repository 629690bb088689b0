package gate

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"
)

// Kind tells the reports apart.
type Kind byte

const (
	Prompt Kind = 'p' // a prompt comes next: Status and Directory are set
	Line   Kind = 'l' // a submit key was pressed; the shell waits for Reply
	Ready  Kind = 'r' // a submit key was pressed and Line follows once the shell is sent Go
	Answer Kind = 'q' // the pending line, as asked for
	Keys   Kind = 'k' // keys that were read since a line was told, as asked for
	Forged Kind = 0   // a sequence of this form that is not this gate's, or is broken
)

// Report is what one sequence said.
type Report struct {
	Kind      Kind
	Count     int    // serial number of the last line told
	Status    int    // exit status of what ran last
	Directory string // working directory
	Function  string // how the line was submitted: accept, operate, edit…
	Text      string // the pending line
	Expanded  string // the same after history expansion
	Truncated bool   // it was too long, and Text and Expanded are not all of it
}

// Sink receives what a Filter makes of the output, in order. Output's slice is only good until it returns.
type Sink interface {
	Output(p []byte)
	Report(r Report)
}

const (
	prefix    = "\x1b]7770;"
	separator = 0x1f
	// maxBody bounds what a sequence may hold; a longer line is told as truncated.
	maxBody = 64 << 10
)

// Filter takes the gate's sequences out of a stream of output, wherever packets end. It holds at most one unfinished
// sequence, of bounded size, and nothing for longer than that is unfinished.
type Filter struct {
	gate    *Gate
	matched int // bytes of prefix seen so far
	inside  bool
	body    []byte
	long    bool
}

// Filter makes the filter for this gate's output.
func (g *Gate) Filter() *Filter { return &Filter{gate: g} }

// Write passes output on to the sink, without the sequences, which become reports.
func (f *Filter) Write(p []byte, to Sink) {
	for len(p) > 0 {
		switch {
		case f.inside:
			p = f.collect(p, to)
		case f.matched > 0:
			if p[0] != prefix[f.matched] {
				held := f.matched
				f.matched = 0
				to.Output([]byte(prefix[:held]))
				continue
			}
			p = p[1:]
			if f.matched++; f.matched == len(prefix) {
				f.matched, f.inside = 0, true
			}
		default:
			i := bytes.IndexByte(p, prefix[0])
			if i < 0 {
				to.Output(p)
				return
			}
			if i > 0 {
				to.Output(p[:i])
			}
			f.matched, p = 1, p[i+1:]
		}
	}
}

// collect takes the body's bytes. A body is printable ASCII: anything else but the end breaks it off and is output.
func (f *Filter) collect(p []byte, to Sink) []byte {
	for i, b := range p {
		if b >= 0x20 && b < 0x7f || b == separator {
			if len(f.body) < maxBody {
				f.body = append(f.body, b)
			} else {
				f.long = true
			}
			continue
		}
		report := Report{Kind: Forged}
		rest := p[i:]
		if b == '\a' {
			report, rest = f.parse(), p[i+1:]
		}
		f.body, f.inside, f.long = nil, false, false
		to.Report(report)
		return rest
	}
	return nil
}

// parse reads NONCE;KIND;COUNT;ARGUMENT SEP TEXT SEP TEXT.
func (f *Filter) parse() Report {
	head, texts, _ := strings.Cut(string(f.body), string(rune(separator)))
	fields := strings.Split(head, ";")
	if len(fields) != 4 || subtle.ConstantTimeCompare([]byte(fields[0]), []byte(f.gate.nonce)) != 1 || len(fields[1]) != 1 {
		return Report{}
	}
	count, err := strconv.Atoi(fields[2])
	if err != nil {
		return Report{}
	}
	report := Report{Kind: Kind(fields[1][0]), Count: count, Truncated: f.long}
	first, second, _ := strings.Cut(texts, string(rune(separator)))
	text, err := f.gate.unquote(first)
	if err != nil && !f.long {
		return Report{}
	}
	expanded, err := f.gate.unquote(second)
	if err != nil && !f.long {
		return Report{}
	}
	switch report.Kind {
	case Prompt:
		if report.Status, err = strconv.Atoi(fields[3]); err != nil {
			return Report{}
		}
		report.Directory = text
	case Line, Answer, Ready, Keys:
		if f.gate.shell == Fish {
			expanded = text // fish has no history expansion
		}
		report.Function, report.Text, report.Expanded = fields[3], text, expanded
	default:
		return Report{}
	}
	return report
}

// unquote undoes what the shell's own quoting made of a text: printf %q in bash and zsh, URL style in fish.
func (g *Gate) unquote(s string) (string, error) {
	if g.shell == Fish {
		return unescapePercent(s)
	}
	var out strings.Builder
	for len(s) > 0 {
		switch {
		case strings.HasPrefix(s, "$'"):
			rest, err := unescape(s[2:], &out)
			if err != nil {
				return "", err
			}
			s = rest
		case s[0] == '\'':
			literal, rest, ok := strings.Cut(s[1:], "'")
			if !ok {
				return "", fmt.Errorf("gate: open quote in a report")
			}
			out.WriteString(literal)
			s = rest
		case s[0] == '\\':
			if len(s) == 1 {
				return "", fmt.Errorf("gate: report ends in a backslash")
			}
			out.WriteByte(s[1])
			s = s[2:]
		default:
			out.WriteByte(s[0])
			s = s[1:]
		}
	}
	return out.String(), nil
}

// unescape reads the inside of $'…' and returns what follows it.
func unescape(s string, out *strings.Builder) (string, error) {
	const letters, values = `abefnrtvE\'"?`, "\a\b\x1b\f\n\r\t\v\x1b\\'\"?"
	for len(s) > 0 {
		if s[0] == '\'' {
			return s[1:], nil
		}
		if s[0] != '\\' || len(s) == 1 {
			out.WriteByte(s[0])
			s = s[1:]
			continue
		}
		if i := strings.IndexByte(letters, s[1]); i >= 0 {
			out.WriteByte(values[i])
			s = s[2:]
			continue
		}
		end := 1
		for end < len(s) && end < 4 && s[end] >= '0' && s[end] <= '7' {
			end++
		}
		value, err := strconv.ParseUint(s[1:end], 8, 8)
		if err != nil {
			return "", fmt.Errorf("gate: unknown escape in a report")
		}
		out.WriteByte(byte(value))
		s = s[end:]
	}
	return "", fmt.Errorf("gate: open quote in a report")
}

func unescapePercent(s string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out.WriteByte(s[i])
			continue
		}
		if i+3 > len(s) {
			return "", fmt.Errorf("gate: unfinished escape in a report")
		}
		value, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("gate: unknown escape in a report")
		}
		out.WriteByte(byte(value))
		i += 2
	}
	return out.String(), nil
}
