package facts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/runtime/proc"
)

// StartFile is a file that a shell reads when it starts.
type StartFile struct {
	Name string `json:"name"` // as the container names it
	Keys bool   `json:"keys"` // it is readline's, which binds keys; else the shell's code
	Text string `json:"text"`
}

// Bounds of what is read.
const (
	maxStartFile  = 64 << 10
	maxStartFiles = 48
	maxStartText  = 512 << 10 // of all of them
	maxEnviron    = 256 << 10
	maxIncludes   = 4
	maxSourced    = 256 // names that are tried
	maxName       = 4 << 10
)

// StartFiles reads the files in which the user's keys may be bound that a running shell has read: it names them by its
// program, environment and file system. A shell whose keys nobody can bind has none.
func StartFiles(shell proc.ID, program string) ([]StartFile, error) {
	environ, err := openProc(shell, "environ", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer environ.Close()
	text, err := io.ReadAll(io.LimitReader(environ, maxEnviron))
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	root, err := openProc(shell, "root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r := startReader{root: root, env: map[string]string{}}
	for _, pair := range bytes.Split(text, []byte{0}) {
		if name, value, ok := strings.Cut(string(pair), "="); ok {
			r.env[name] = value
		}
	}
	r.read(program)
	return r.files, nil
}

// openProc opens what /proc has of a process, and of no other that got its number.
func openProc(id proc.ID, name string, flags int) (*os.File, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/%s", id.PID, name), flags, 0)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	if _, err := id.Stat(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("facts: %w", err)
	}
	return f, nil
}

type startReader struct {
	root  *os.File
	env   map[string]string
	files []StartFile
	size  int // of their text
	depth int // of the files that others source
	tried int // of what they source
}

// read follows the manuals: bash(1) and readline(3), zsh(1), fish(1), mksh(1), ksh(1). Which of the files a shell reads depends on its
// options; all of them are read here.
func (r *startReader) read(program string) {
	home := r.env["HOME"]
	switch strings.TrimPrefix(program, "-") {
	case "bash", "rbash":
		switch {
		case r.env["INPUTRC"] != "":
			r.keys(r.env["INPUTRC"])
		case !r.keys(path.Join(home, ".inputrc")):
			r.keys("/etc/inputrc")
		}
		r.code("/etc", "profile", "bash.bashrc", "bashrc")
		r.code(home, ".bash_profile", ".bash_login", ".profile", ".bashrc", ".bash_aliases")
	case "zsh", "rzsh":
		if strings.Contains(r.env["VISUAL"]+" "+r.env["EDITOR"], "vi") {
			r.files = append(r.files, StartFile{Name: "VISUAL", Text: "bindkey -v\n"}) // that is what it makes of it
		}
		for _, dir := range []string{"/etc/zsh", "/etc"} {
			r.code(dir, "zshenv", "zprofile", "zshrc", "zlogin")
		}
		for _, name := range []string{".zshenv", ".zprofile", ".zshrc", ".zlogin"} {
			if r.env["ZDOTDIR"] != "" { // the first of them may set it
				home = r.env["ZDOTDIR"]
			}
			r.code(home, name)
		}
	case "fish":
		config := r.env["XDG_CONFIG_HOME"]
		if config == "" {
			config = path.Join(home, ".config")
		}
		for _, dir := range []string{"/etc/fish", path.Join(config, "fish")} {
			r.code(dir, "config.fish", "functions/fish_user_key_bindings.fish")
			r.code(path.Join(dir, "conf.d"), r.list(path.Join(dir, "conf.d"), ".fish")...)
		}
	case "mksh", "ksh", "ksh93", "rksh", "pdksh", "lksh", "oksh", "loksh":
		r.code("/etc", "profile", "mkshrc", "ksh.kshrc")
		r.code(home, ".profile", ".mkshrc", ".kshrc")
		r.code("/", r.expanded(r.env["ENV"]))
	}
}

// keys reads one of readline's files and what it includes; false where there is none.
func (r *startReader) keys(name string) bool {
	names, found := []string{name}, false
	for i := 0; i < len(names) && i <= maxIncludes; i++ {
		name := names[i]
		if rest, ok := strings.CutPrefix(name, "~/"); ok {
			name = path.Join(r.env["HOME"], rest)
		}
		text, ok := r.file(name)
		if !ok {
			continue
		}
		found = true
		r.files = append(r.files, StartFile{Name: name, Keys: true, Text: text})
		for line := range strings.Lines(text) {
			if file, ok := strings.CutPrefix(strings.TrimSpace(line), "$include"); ok {
				names = append(names, strings.TrimSpace(file))
			}
		}
	}
	return found
}

// code reads files of a folder that are there, each with those that it sources by a name which can be told: one that is
// spelt out, or made of variables that the environment or a plain assignment has set.
func (r *startReader) code(dir string, names ...string) {
	for _, name := range names {
		name = path.Join(dir, name)
		if slices.ContainsFunc(r.files, func(f StartFile) bool { return f.Name == name }) {
			continue
		}
		text, ok := r.file(name)
		if !ok {
			continue
		}
		r.files = append(r.files, StartFile{Name: name, Text: text})
		if r.depth == maxIncludes {
			continue
		}
		r.depth++
		for line := range strings.Lines(text) {
			if !mayName(line) {
				continue
			}
			for _, m := range sourced.FindAllStringSubmatch(line, -1) {
				if m[1] != "" {
					r.env[m[1]] = r.expanded(m[2])
				} else if r.tried++; r.tried > maxSourced {
					break
				} else if m[3] != "" {
					r.code("/", r.expanded(m[3]))
				} else {
					r.keys(r.expanded(m[4]))
				}
			}
		}
		r.depth--
	}
}

// mayName tells at little cost that a line may be one that sourced finds something in.
func mayName(line string) bool {
	name, _, assigns := strings.Cut(line, "=")
	return assigns && !strings.ContainsAny(name, "$[") && !strings.Contains(name, "local") ||
		strings.Contains(line, ". ") || strings.Contains(line, ".\t") || strings.Contains(line, "source") || strings.Contains(line, "bind")
}

// sourced finds plain assignments, what is sourced, and what bash has readline read.
var sourced = regexp.MustCompile(`(?:^|[;&|{(]|\b(?:then|do|else|export|readonly|typeset)\b)[ \t]*(?:([A-Za-z_]\w*)=(` + aWord + `)|(?:builtin[ \t]+)?(?:(?:source|\.)[ \t]+(` + aWord + `)|bind[ \t]+-f[ \t]+(` + aWord + `)))`)

const aWord = `(?:"[^"]*"|'[^']*'|[^\s;&|<>()"']+)+`

var aVariable = regexp.MustCompile(`\$\{?(\w+)(?::-([^}]*))?\}?`)

// expanded is a word as the shell would have it: quotes removed, ~ and variables replaced; empty where that is no name.
func (r *startReader) expanded(word string) string {
	if strings.HasPrefix(word, "~/") {
		word = "$HOME" + word[1:]
	}
	size := len(word)
	out := aVariable.ReplaceAllStringFunc(strings.NewReplacer(`"`, "", "'", "").Replace(word), func(v string) string {
		m := aVariable.FindStringSubmatch(v)
		value := r.env[m[1]]
		if value == "" {
			value = m[2]
		}
		if size += len(value); size > maxName {
			return ""
		}
		return value
	})
	if size > maxName {
		return ""
	}
	return out
}

// file reads one that is no device and not too long.
func (r *startReader) file(name string) (string, bool) {
	if !path.IsAbs(name) || len(r.files) >= maxStartFiles {
		return "", false
	}
	f, err := openRegular(r.root, name)
	if err != nil {
		return "", false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(min(maxStartFile, maxStartText-r.size))))
	r.size += len(text)
	return string(text), err == nil
}

// list names the files of a folder with an ending, in the order in which they are read.
func (r *startReader) list(dir, ending string) []string {
	if !path.IsAbs(dir) {
		return nil
	}
	f, err := openIn(r.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, err := f.Readdirnames(maxStartFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ending) })
	slices.Sort(names)
	return names
}
