package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/podbastion/podbastion/shellparse/syntax"
)

// flags: any rule but an allow rule asks whether all of its flags are there; an allow rule whether no others are.
func (r *rule) flags(s *subject) answer {
	if len(r.Flags) == 0 {
		return yes
	}
	o := optionsOf(s.name.base)
	words, flags := s.words[1:], r.Flags
	if r.permits() {
		words = s.words[1:max(1, s.own)]
	}
	switch s.name.base {
	case "git":
		o.force(words)
	case "tar":
		words, flags = dashed(words), extracts(flags)
	}
	if r.permits() {
		return is(o.onlyFlags(words, flags) && (len(words) > 0 || !s.cmd.Interpreter))
	}
	out := yes
	for _, f := range flags {
		out = min(out, o.hasFlag(words, f))
	}
	return out
}

// force: -f is --force to all of git's commands but those that take a file there.
func (o *options) force(words []syntax.Word) {
	for _, w := range words {
		if t, _ := w.Known(); t == "config" || t == "grep" {
			return
		}
	}
	o.longs = maps.Clone(o.longs)
	if o.longs == nil {
		o.longs = make(map[byte]string)
	}
	o.longs['f'] = "--force"
}

// dashed gives tar's first word the dash that it may lack, and its --get the usual name.
func dashed(words []syntax.Word) []syntax.Word {
	out := slices.Clone(words)
	for i, w := range out {
		switch t, known := w.Known(); {
		case known && t == "--get":
			out[i] = syntax.Text("--extract")
		case i == 0 && known && t != "" && t[0] != '-':
			out[i] = syntax.Text("-" + t)
		}
	}
	return out
}

func extracts(flags []string) []string {
	out := slices.Clone(flags)
	for i, f := range out {
		if f == "--get" {
			out[i] = "--extract"
		}
	}
	return out
}

// hasFlag says whether a flag, or every one of a bundle, is among the words.
func (o options) hasFlag(words []syntax.Word, flag string) answer {
	parts := []string{flag}
	if o.bundles && len(flag) > 2 && flag[1] != '-' {
		parts = nil
		for _, c := range flag[1:] {
			parts = append(parts, "-"+string(c))
		}
	}
	out := yes
	for _, p := range parts {
		out = min(out, o.hasOne(words, p, flag))
	}
	return out
}

func (o options) hasOne(words []syntax.Word, flag, whole string) answer {
	long := o.long(flag)
	if strings.HasPrefix(flag, "--") {
		long = flag
	}
	out := no
	for _, w := range words {
		text, known := w.Known()
		if !known {
			if p := w.Prefix(); p == "" && w.HasUnknown() || strings.HasPrefix(p, "-") || w.Split && w.HasText() {
				out = perhaps
			}
			continue
		}
		if text == "--" {
			break
		}
		switch {
		case text == whole:
			return yes
		case strings.HasPrefix(text, "--"):
			name, _, _ := strings.Cut(text, "=")
			if len(name) > 2 && (long != "" && strings.HasPrefix(long, name) || strings.HasPrefix(flag, name)) {
				return yes
			}
		case len(text) > 1 && text[0] == '-' && o.bundles:
			for _, c := range o.flagsIn(text) {
				if one := "-" + string(c); one == flag || long != "" && o.long(one) == long {
					return yes
				}
			}
		}
	}
	return out
}

// onlyFlags says whether every flag among the words is one of the listed.
func (o options) onlyFlags(words []syntax.Word, listed []string) bool {
	permitted := make(map[string]bool)
	for _, f := range listed {
		permitted[f] = true
		if l := o.long(f); l != "" {
			permitted[l] = true
		}
		if o.bundles && f[1] != '-' {
			for _, c := range f[1:] {
				one := "-" + string(c)
				permitted[one] = true
				if l := o.long(one); l != "" {
					permitted[l] = true
				}
			}
		}
	}
	for _, w := range words {
		text, known := w.Known()
		if !known {
			if p := w.Prefix(); p == "" || p[0] == '-' {
				return false
			}
			continue
		}
		if text == "--" {
			return true
		}
		if len(text) < 2 || text[0] != '-' || permitted[text] {
			continue
		}
		if strings.HasPrefix(text, "--") {
			name, _, _ := strings.Cut(text, "=")
			if !permitted[name] && !permitted[o.complete(name)] {
				return false
			}
			continue
		}
		for _, c := range o.flagsIn(text) {
			one := "-" + string(c)
			if !permitted[one] && !permitted[o.long(one)] {
				return false
			}
		}
	}
	return true
}

// flagsIn lists the flags of a bundle, without the value that may be attached.
func (o options) flagsIn(text string) string {
	for i := 1; i < len(text); i++ {
		if o.letters[text[i]] != nothing {
			return text[1 : i+1]
		}
	}
	if rest := strings.TrimRight(text[1:], "0123456789"); rest != "" {
		return rest
	}
	return text[1:]
}

func (o options) long(short string) string {
	if len(short) != 2 {
		return ""
	}
	return o.longs[short[1]]
}

// complete returns the long option that name abbreviates, if there is just one.
func (o options) complete(name string) string {
	found := ""
	if _, ok := o.words[name]; ok {
		return name
	}
	for l := range o.words {
		if strings.HasPrefix(l, name) {
			if found != "" {
				return ""
			}
			found = l
		}
	}
	return found
}
