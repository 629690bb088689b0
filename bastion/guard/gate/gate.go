// Package gate owns the hook inside the user's shell: how bash, zsh and fish are started so that the hook is there
// without a file that stays behind and with the user's own startup files read as ever, what the hook says inside the
// terminal's output, and how it is answered.
//
// A submit key first runs the hook, which tells the pending line in an escape sequence that carries the session's
// nonce and then waits; only the answer with the same nonce lets the line run. Before each prompt the hook tells the
// exit status and the directory. The nonce is a variable of the shell and in no program's environment. Whoever owns
// the shell can read it all the same, so a report is a witness's word and never the only one: weighing it is not this
// package's business.
package gate

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"fmt"
	"path"
)

// Shell is a shell that has a hook.
type Shell string

const (
	Bash Shell = "bash"
	Zsh  Shell = "zsh"
	Fish Shell = "fish"
)

//go:embed bash.sh
var bashHook string

//go:embed zsh.sh
var zshHook string

//go:embed hook.fish
var fishHook string

// scriptVariable carries the hook to the shell, which takes it out of its environment before anything else runs.
const scriptVariable = "PODBASTION_GATE"

// Gate is one shell's hook: its nonce and the ways to start it and to answer it. It does not change after New.
type Gate struct {
	shell Shell
	path  string
	nonce string
}

// New makes the gate for the shell at a path in the container; false says that this shell has no hook.
func New(shellPath string) (*Gate, bool) {
	shell := Shell(path.Base(shellPath))
	switch shell {
	case Bash, Zsh, Fish:
	default:
		return nil, false
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails: it ends the program instead
	return &Gate{shell: shell, path: shellPath, nonce: hex.EncodeToString(random[:])}, true
}

// Shell tells which shell it is.
func (g *Gate) Shell() Shell { return g.shell }

// bashStart becomes the login shell, whose ENV names the hook in a pipe. An old bash or a container without /dev/fd
// gets a plain login shell.
const bashStart = `s=$PODBASTION_GATE; unset PODBASTION_GATE
[[ -e /dev/fd/0 && ${BASH_VERSINFO[0]} -ge 5 ]] || exec -a "-${0##*/}" "$0"
if [[ ${ENV+x} ]]; then s="__podbastion_env=${ENV@Q}"$'\n'$s; fi
ENV=<(printf %s "$s") exec -a "-${0##*/}" "$0" --posix`

// zshStart writes the hook as .zshenv to a new folder, which the hook itself takes away first. Where nothing can be
// written it is a plain login shell.
const zshStart = `s=$PODBASTION_GATE; unset PODBASTION_GATE
zmodload -F zsh/files b:zf_mkdir 2>/dev/null
for d in /dev/shm "${TMPDIR:-/tmp}" /run "$HOME"; do
  d=$d/.podbastion-$RANDOM$RANDOM$$
  if (umask 077; zf_mkdir -- $d && print -r -- "__podbastion_dir=${(qqqq)d}${ZDOTDIR+ __podbastion_zdotdir=${(qqqq)ZDOTDIR}}"$'\n'$s >$d/.zshenv) 2>/dev/null; then
    export ZDOTDIR=$d
    break
  fi
done
ARGV0=-${0:t} exec $0`

// Argv is the command that starts the login shell with its hook.
func (g *Gate) Argv() []string {
	switch g.shell {
	case Bash:
		return []string{g.path, "-c", bashStart, g.path}
	case Zsh:
		return []string{g.path, "-f", "-c", zshStart, g.path}
	default:
		return []string{g.path, "--login", "--init-command",
			"set -l s $" + scriptVariable + "; set -e " + scriptVariable + "; eval $s"}
	}
}

// Env is what the command of Argv needs in its environment.
func (g *Gate) Env() []string {
	script := fmt.Sprintf("__podbastion_nonce=%s\n%s", g.nonce, bashHook)
	switch g.shell {
	case Zsh:
		script = fmt.Sprintf("typeset -g __podbastion_nonce=%s\n%s", g.nonce, zshHook)
	case Fish:
		script = fmt.Sprintf("set -g __podbastion_nonce %s\n%s", g.nonce, fishHook)
	}
	return []string{scriptVariable + "=" + script}
}

// Reply answers the report of a line: the line with this count runs, or it stays where it is, unrun.
func (g *Gate) Reply(count int, run bool) []byte {
	word := "stay"
	if run {
		word = "run"
	}
	if g.shell == Fish {
		if !run {
			return nil // fish does not wait: a line runs when it is told to
		}
		return fmt.Appendf(nil, "\x1b[7770;2;%s~", g.nonce)
	}
	return fmt.Appendf(nil, "%s;%d;%s.", g.nonce, count, word)
}

// Recall are keys that make a shell that waits for a Reply tell what else it has read meanwhile. Nil for one that does
// not wait.
func (g *Gate) Recall(count int) []byte {
	if g.shell == Fish {
		return nil
	}
	return fmt.Appendf(nil, "%s;%d;keys.", g.nonce, count)
}

// Go answers the report Ready: keys that make the shell go on and tell its line.
func (g *Gate) Go() []byte { return []byte("\x1b[7770;1~") }

// Ask are keys that make a waiting shell tell its pending line without submitting it.
func (g *Gate) Ask() []byte { return []byte("\x1b[7770;7~") }

// Clear are keys that empty the pending line, unless it continues others. Nil where only an interrupt does that.
func (g *Gate) Clear() []byte {
	if g.shell != Bash {
		return nil
	}
	return []byte("\x1b[7770;8~")
}
