package session

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/podbastion/podbastion/bastion/bridge"
)

// homeShells understand goHome, those first that read no files of the user's before. A restricted shell can neither
// change directory nor execute.
var homeShells = []string{"sh", "dash", "ash", "bash", "mksh", "ksh", "zsh"}

// goHome changes to the home, if that is possible, and becomes what comes behind.
const goHome = `cd -- "$HOME" 2>/dev/null; exec "$0" "$@"`

// fromHome is what runs argv as sshd would: from the user's home. A container without one leaves it in its working
// directory, as one whose home is not there does. A shell only changes directory and becomes argv, so that a command
// stays the text that was judged and is remembered.
func fromHome(argv []string, f bridge.Facts) []string {
	if f.Home == "" || f.Home == "/" || f.Home == f.WorkDir {
		return argv
	}
	for _, name := range homeShells {
		if i := slices.IndexFunc(f.Shells, func(s string) bool { return path.Base(s) == name }); i >= 0 {
			return append([]string{f.Shells[i], "-c", goHome}, argv...)
		}
	}
	return argv
}

// plainPath needs no quotes in any shell.
var plainPath = regexp.MustCompile(`\A/[A-Za-z0-9/._+-]*\z`)

// tildes writes the home for ~ and the client's user name. Ansible asks for the home of the user that it logs in as,
// and takes an answer that is no home for a name; here that user is an address, which no shell can expand.
func tildes(command, user, home string) string {
	want := "~" + user
	if user == "" || !plainPath.MatchString(home) || !strings.Contains(command, want) {
		return command
	}
	var b strings.Builder
	for rest := command; ; {
		before, after, found := strings.Cut(rest, want)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if endsWord(b.String()) && beginsRest(after) {
			b.WriteString(home)
		} else {
			b.WriteString(want)
		}
		rest = after
	}
}

// endsWord tells whether a word may begin behind s.
func endsWord(s string) bool {
	return s == "" || strings.IndexByte(" \t\n'\"`(;&|=:", s[len(s)-1]) >= 0
}

// beginsRest tells whether a name ends before s.
func beginsRest(s string) bool { return s == "" || strings.IndexByte(" \t\n'\"`);&|/:", s[0]) >= 0 }
