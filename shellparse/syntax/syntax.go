// Package syntax turns the text that a shell accepted into the list of simple commands that it may run: every command
// of pipelines, lists, substitutions, loops and function bodies, with wrappers such as sudo or xargs taken off, words
// with their quoting removed or marked as known only at run time, and redirections as reads and writes.
//
// It owns the grammar of shells and of the programs that run other programs. It knows no rules, no files and no
// environment beyond the text: what the text alone cannot tell is marked, never guessed.
package syntax

import (
	"errors"
	"path"
	"strings"
)

// MaxText is the longest text that is looked at, in bytes.
const MaxText = 1 << 20

// The reasons for which a text is not taken apart. What they refuse must be treated as able to run anything.
var (
	ErrTooLong    = errors.New("syntax: text is longer than 1 MiB")
	ErrTooDeep    = errors.New("syntax: nested too deeply")
	ErrTooMany    = errors.New("syntax: holds too many commands or words")
	ErrUnparsable = errors.New("syntax: not a command line of this shell")
	ErrIncomplete = errors.New("syntax: the command goes on in another line") // nothing of it has run yet
)

// Dialect is the language of a shell.
type Dialect string

const (
	Bash  Dialect = "bash"
	POSIX Dialect = "posix" // dash, busybox ash, and sh, which may be any of them or bash
	Mksh  Dialect = "mksh"  // mksh and, near enough, ksh93
	Zsh   Dialect = "zsh"
	Fish  Dialect = "fish"
)

// DialectOf tells the dialect from a shell's path or name; a leading dash, as of a login shell, is ignored. A name
// that is no shell's gives false and Bash.
func DialectOf(shell string) (Dialect, bool) {
	switch name := strings.TrimPrefix(path.Base(shell), "-"); name {
	case "bash", "rbash":
		return Bash, true
	case "sh", "dash", "ash", "busybox", "posh", "yash":
		return POSIX, true
	case "mksh", "ksh", "ksh93", "pdksh", "lksh", "rksh", "oksh":
		return Mksh, true
	case "zsh", "rzsh":
		return Zsh, true
	case "fish":
		return Fish, true
	}
	return Bash, false
}

// Script is what a text holds.
type Script struct {
	Commands []Command    // in the order of the text; an inner command follows its wrapper
	Defines  []Definition // aliases and functions that the text defines
	// History says that the text holds what an interactive bash or zsh would have replaced by an earlier line, so that
	// it may not be what ran.
	History bool
	Numbers []string // variables that hold numbers once it has begun, and are given nothing else in it
	Spoils  []string // variables that may hold other than numbers
	Forgets bool     // it runs code of the session, which may set any variable
	Strays  bool     // it sets HOME or PWD: what ~ or $PWD means afterwards it does not tell
}

// Definition is a name that stands for code from now on.
type Definition struct {
	Name  string // "" when the name is only known at run time
	Alias bool   // else a function
	Code  string // the alias's value or the function's body; "" when it is not known
	// Unsure says that it may not take effect: it stands in a branch, a subshell or other code.
	Unsure bool
	// Gone says that it is taken back: unalias, unset -f.
	Gone bool
	// At is the index of the first command of the script that it holds for.
	At int
}

// Command is one simple command.
type Command struct {
	Words     []Word // the program and its arguments; empty for assignments or redirections alone
	Own       int    // how many of Words are the command's own; the words after them belong to the commands inside it
	Assigns   []Assignment
	Redirects []Redirect
	Via       []string // the wrappers that it was taken out of, outermost first
	Dirs      []string // the directories it may run in, see Here
	// Possible marks a command that runs if a value which the text only suggests turns out so; the command that it is
	// a reading of is there too, undecided. It may be used to refuse, never to permit.
	Possible bool
	Code     string    // not empty: it runs code that is not taken apart here; why
	CodeIn   CodePlace // with Code: where it is
	Source   string    // as it was written; empty for a command inside another one's arguments
	// Interpreter says that the program runs code in some language: without a file, what it is given.
	Interpreter bool
	// Extra says that such a program runs more than the file that its arguments name: modules that it is told to load,
	// or what is typed.
	Extra    bool
	Input    bool   // it runs what it reads from its input, and no file
	Fed      bool   // its input is not that of the session
	Shell    bool   // starts a shell that reads its commands from where the command line came from
	Function string // the function whose body it is part of
	Plain    bool   // run by command, builtin or exec, so that no alias and no function is meant
	Other    bool   // run by another shell, where functions and aliases of this one need not be
	Outside  bool   // run by another program, so that functions and builtins of the shell are not meant
}

// CodePlace says where the code is that a command runs and that is not taken apart.
type CodePlace uint8

const (
	Nowhere     CodePlace = iota // it only shows at run time
	InArguments                  // it stands in the command's arguments
	InFile                       // it is in a file that the arguments name
)

// Here is the directory in which the text is submitted; a directory relative to it begins with "./". A home directory
// begins with "~". Anywhere is a directory that the text does not tell.
const (
	Here     = "."
	Anywhere = ""
)

// Assignment is NAME=value, in front of a command, alone, or as an argument of declare, export, env and their kin.
type Assignment struct {
	Name  string // "" when it is only known at run time
	Value Word
}

// Redirect is a file that is opened by a command.
type Redirect struct {
	Write bool // else it is only read
	File  Word
	Op    string // as written
}

// Kind says what a piece of a word is.
type Kind uint8

const (
	Literal Kind = iota
	Unknown      // any text, slashes and spaces among it
	Star         // a glob's *: any run of characters within one path component
	One          // a glob's ? or [...]: one character of a path component
	Home         // ~ or $HOME
	WorkDir      // $PWD or ~+
)

// Piece is part of a word.
type Piece struct {
	Kind Kind
	Text string // as written when not Literal
}

// Word is one word of a command with its quoting removed.
type Word struct {
	Pieces []Piece
	Split  bool // may turn into no word or several
	Quoted bool // some of it was quoted
}

// Text makes a literal word.
func Text(s string) Word { return Word{Pieces: []Piece{{Kind: Literal, Text: s}}} }

// Known returns the word's text when nothing of it depends on run time.
func (w Word) Known() (string, bool) {
	if w.Split {
		return "", false
	}
	switch len(w.Pieces) {
	case 0:
		return "", true
	case 1:
		return w.Pieces[0].Text, w.Pieces[0].Kind == Literal
	}
	var b strings.Builder
	for _, p := range w.Pieces {
		if p.Kind != Literal {
			return "", false
		}
		b.WriteString(p.Text)
	}
	return b.String(), true
}

// IsKnown says whether nothing of the word depends on run time.
func (w Word) IsKnown() bool {
	_, known := w.Known()
	return known
}

// Prefix returns the literal text that the word, or the first of the words that it turns into, begins with.
func (w Word) Prefix() string {
	var b strings.Builder
	for _, p := range w.Pieces {
		if p.Kind != Literal {
			break
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

// String shows the word for people: what is not known stands as it was written.
func (w Word) String() string {
	var b strings.Builder
	for _, p := range w.Pieces {
		b.WriteString(p.Text)
	}
	return b.String()
}

// HasText says whether some of the word can be any text, even other words where it is split.
func (w Word) HasText() bool {
	for _, p := range w.Pieces {
		if p.Kind == Unknown {
			return true
		}
	}
	return false
}

// HasUnknown says whether the word may be another text than it shows, or several.
func (w Word) HasUnknown() bool { return w.Split || w.HasText() }

// Program is the first word.
func (c *Command) Program() (string, bool) {
	if len(c.Words) == 0 {
		return "", true
	}
	return c.Words[0].Known()
}

func (c *Command) String() string {
	var parts []string
	for _, a := range c.Assigns {
		parts = append(parts, a.Name+"="+a.Value.String())
	}
	for _, w := range c.Words {
		parts = append(parts, w.String())
	}
	for _, r := range c.Redirects {
		parts = append(parts, r.Op+r.File.String())
	}
	return strings.Join(parts, " ")
}
