package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds of a document.
const (
	MaxDocument = 4 << 20 // bytes
	maxProblems = 50
	maxItems    = 100_000 // of any one list
	maxDepth    = 16
)

// Problem is one thing that is wrong with a document, and where.
type Problem struct {
	Line, Column int
	Text         string
}

// LoadError holds what is wrong with a document: everything, up to a bound.
type LoadError struct {
	Name     string
	Problems []Problem
	More     bool // there were more
}

// Error has one line a problem: file:line:column: text.
func (e *LoadError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s", e.Name, p.Line, p.Column, p.Text)
	}
	if e.More {
		fmt.Fprintf(&b, "\n%s: and more", e.Name)
	}
	return b.String()
}

// Load reads and checks a roles document. The error is a *LoadError.
func Load(name string, data []byte) (*Document, error) {
	l := &loader{name: name}
	root := l.parse(data)
	if root != nil {
		l.checkNodes(root, 0)
	}
	if root == nil || len(l.problems) > 0 {
		return nil, l.failure()
	}
	sum := sha256.Sum256(data)
	l.doc = &Document{
		name: name, hash: hex.EncodeToString(sum[:]),
		accounts: make(map[Account]*Credentials), roles: make(map[string]*Role),
	}
	m := l.mapping(root, "the document", "accounts", "roles", "authorities")
	for _, n := range l.sequence(m["authorities"], "authorities") {
		l.authority(n)
	}
	if n, ok := m["roles"]; ok {
		l.roles(n)
	} else {
		l.errorf(root, `key "roles" is missing: want a mapping of role names to roles`)
	}
	if n, ok := m["accounts"]; ok {
		for _, a := range l.sequence(n, "accounts") {
			l.account(a)
		}
	} else {
		l.errorf(root, `key "accounts" is missing: want a list of accounts`)
	}
	if len(l.problems) > 0 {
		return nil, l.failure()
	}
	return l.doc, nil
}

// loader gathers problems while it walks the document's nodes.
type loader struct {
	name     string
	doc      *Document
	problems []Problem
	more     bool
}

func (l *loader) failure() error {
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &LoadError{Name: l.name, Problems: l.problems, More: l.more}
}

func (l *loader) errorf(n *yaml.Node, format string, args ...any) {
	l.problem(n.Line, n.Column, fmt.Sprintf(format, args...))
}

func (l *loader) problem(line, column int, text string) {
	if len(l.problems) >= maxProblems {
		l.more = true
		return
	}
	l.problems = append(l.problems, Problem{Line: max(line, 1), Column: max(column, 1), Text: text})
}

// parse returns the document's root mapping, or nil with a problem noted.
func (l *loader) parse(data []byte) *yaml.Node {
	if len(data) > MaxDocument {
		l.problem(1, 1, fmt.Sprintf("file has more than %d bytes", MaxDocument))
		return nil
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		l.problem(1+bytes.Count(data[:i], []byte("\n")), 1, "file holds a NUL byte: want YAML text in UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		l.problem(1, 1, `file is empty: want "accounts" and "roles"`)
		return nil
	} else if err != nil {
		l.syntax(err)
		return nil
	}
	if err := dec.Decode(&next); err == nil {
		l.errorf(&next, "a second YAML document: want one in a file")
		return nil
	} else if !errors.Is(err, io.EOF) {
		l.syntax(err)
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// syntax notes an error of the YAML library, which tells the line inside its text.
func (l *loader) syntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		line, _ = strconv.Atoi(text[m[2]:m[3]])
		text = text[:m[0]] + text[m[1]:]
	}
	l.problem(line, 1, "not YAML: "+printable(text))
}

// checkNodes refuses what would make the document mean something else than it shows.
func (l *loader) checkNodes(n *yaml.Node, depth int) {
	switch {
	case depth > maxDepth:
		l.errorf(n, "nested deeper than %d levels", maxDepth)
		return
	case n.Kind == yaml.AliasNode:
		l.errorf(n, "aliases are not supported: write the value out")
		return
	case n.Anchor != "":
		l.errorf(n, "anchors are not supported: remove &%s", printable(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		l.errorf(n, "tags are not supported: remove %s", printable(n.Tag))
	}
	for _, c := range n.Content {
		l.checkNodes(c, depth+1)
	}
}

// mapping returns the values by key. Keys outside the list, doubled keys and anything but a mapping are problems.
// A nil node gives an empty map.
func (l *loader) mapping(n *yaml.Node, what string, keys ...string) map[string]*yaml.Node {
	out := make(map[string]*yaml.Node)
	l.pairs(n, what, func(key, value *yaml.Node) {
		if !slices.Contains(keys, key.Value) {
			l.errorf(key, "%s has no key %q%s", what, key.Value, suggest(key.Value, keys))
			return
		}
		out[key.Value] = value
	})
	return out
}

// pairs calls f for each key, once.
func (l *loader) pairs(n *yaml.Node, what string, f func(key, value *yaml.Node)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		l.errorf(n, "%s is %s: want a mapping", what, kind(n))
		return
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			l.errorf(key, "a key of %s is %s: want a string", what, kind(key))
			continue
		}
		if line, ok := seen[key.Value]; ok {
			l.errorf(key, "key %q of %s is there already, in line %d", key.Value, what, line)
			continue
		}
		seen[key.Value] = key.Line
		f(key, n.Content[i+1])
	}
}

// sequence returns a list's items; a list that is there must not be empty. A nil node gives none.
func (l *loader) sequence(n *yaml.Node, what string) []*yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind != yaml.SequenceNode:
		l.errorf(n, "%s is %s: want a list", what, kind(n))
		return nil
	case len(n.Content) == 0:
		l.errorf(n, "%s is an empty list: want at least one item, or leave the key out", what)
	case len(n.Content) > maxItems:
		l.errorf(n, "%s has more than %d items", what, maxItems)
		return nil
	}
	return n.Content
}

// text returns a scalar string.
func (l *loader) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		hint := "want a string"
		if n.Kind == yaml.ScalarNode && n.Value != "" {
			hint = fmt.Sprintf("want a string: put %s in quotes if it is meant as one", printable(n.Value))
		}
		l.errorf(n, "%s is %s: %s", what, kind(n), hint)
		return "", false
	}
	return n.Value, true
}

// optional returns a string, or fallback when the key is absent.
func (l *loader) optional(n *yaml.Node, what, fallback string) string {
	if n == nil {
		return fallback
	}
	s, _ := l.text(n, what)
	return s
}

// word returns one of the words, or the first when the key is absent.
func word[T ~string](l *loader, n *yaml.Node, what string, words ...T) T {
	if n == nil {
		return words[0]
	}
	var list []string
	for _, w := range words {
		list = append(list, string(w))
	}
	if n.Kind != yaml.ScalarNode || !slices.Contains(list, n.Value) {
		l.errorf(n, "%s is %s: want %s%s", what, describe(n), strings.Join(list, ", "), suggest(n.Value, list))
		return words[0]
	}
	return T(n.Value)
}

// each parses every string of a list.
func each[T any](l *loader, n *yaml.Node, what string, parse func(string) (T, error)) []T {
	var out []T
	for _, item := range l.sequence(n, what) {
		s, ok := l.text(item, "an item of "+what)
		if !ok {
			continue
		}
		v, err := parse(s)
		if err != nil {
			l.errorf(item, "%s: %s: %s", what, quoted(s), strings.TrimPrefix(err.Error(), "auth: "))
			continue
		}
		out = append(out, v)
	}
	return out
}

func (l *loader) duration(n *yaml.Node, what string) time.Duration {
	if n == nil {
		return 0
	}
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < time.Second || d > 10*365*24*time.Hour {
		l.errorf(n, "%s is %s: want a duration of at least a second such as 15m or 8h", what, describe(n))
		return 0
	}
	return d
}

func (l *loader) integer(n *yaml.Node, what string, low, high int) int {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < low || v > high {
		l.errorf(n, "%s is %s: want a whole number from %d to %d", what, describe(n), low, high)
		return low
	}
	return v
}

// size returns bytes; -1 when the key is absent.
func (l *loader) size(n *yaml.Node, what string) int64 {
	if n == nil {
		return -1
	}
	v, ok := parseSize(n.Value)
	if n.Kind != yaml.ScalarNode || !ok {
		l.errorf(n, "%s is %s: want a size such as 10MiB, 500kB or 4096", what, describe(n))
		return -1
	}
	return v
}

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

func parseSize(s string) (int64, bool) {
	factor := int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = rest, u.factor
			break
		}
	}
	v, err := strconv.ParseUint(s, 10, 63)
	if err != nil || int64(v) > (1<<62)/factor {
		return 0, false
	}
	return int64(v) * factor, true
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "empty"
		case "!!str":
			return "a string"
		case "!!bool":
			return "a boolean"
		}
		return "a number or date"
	}
	return "nothing of use"
}

func describe(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && n.Value != "" {
		return quoted(n.Value)
	}
	return kind(n)
}

// quoted shows a value of the document, cut when it is long and with control characters made visible.
func quoted(s string) string {
	if len(s) > 80 {
		return strconv.QuoteToGraphic(strings.ToValidUTF8(s[:60], "")) + "…"
	}
	return strconv.QuoteToGraphic(s)
}

func printable(s string) string {
	q := quoted(s)
	return strings.Trim(q, `"`)
}

// suggest returns the nearest word when it is near, ready to be appended to a message.
func suggest(got string, words []string) string {
	best, dist := "", 3
	for _, w := range words {
		if d := distance(strings.ToLower(got), strings.ToLower(w)); d < dist {
			best, dist = w, d
		}
	}
	if best == "" || len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("; did you mean %q", best)
}

// distance counts the single-character edits between two short words.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
