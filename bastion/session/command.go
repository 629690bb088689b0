package session

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/internal/tty"
)

// loginShells take -l to behave as a login shell. The name that sshd gives a login shell (-bash) cannot be given
// through a container runtime, which runs a program by its path.
var loginShells = []string{"ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "rbash", "sh", "tcsh", "zsh"}

// argv is what is run for the request, and the shell that it is run with, if any.
func (r *run) argv(f bridge.Facts) (argv []string, shell string, err error) {
	shell = chooseShell(f)
	switch r.request.Kind {
	case Shell:
		if shell == "" {
			return nil, "", &refusal{err: ErrNoShell, code: exitNotFound,
				text: "this container has no shell; run a program that it has, for example: ssh … /app --version"}
		}
		if slices.Contains(loginShells, path.Base(shell)) {
			return []string{shell, "-l"}, shell, nil
		}
		return []string{shell}, shell, nil
	case Exec:
		if shell != "" {
			return []string{shell, "-c", r.request.Command}, shell, nil
		}
		argv, err := Words(r.request.Command)
		if err != nil {
			return nil, "", &refusal{err: fmt.Errorf("%w: %w", ErrNoShell, err), code: exitNotFound,
				text: fmt.Sprintf("this container has no shell, so a command is a program and its arguments: %s", printable(err.Error()))}
		}
		return argv, "", nil
	}
	return nil, "", &refusal{err: ErrSubsystem, code: exitTransport, text: "the bastion has no such subsystem"}
}

// chooseShell is the user's login shell where it is there, else bash, else whatever shell the container has; "" is none.
func chooseShell(f bridge.Facts) string {
	if f.Shell != "" {
		return f.Shell
	}
	if len(f.Shells) > 0 {
		return f.Shells[0]
	}
	return ""
}

// environment is what the process gets beyond the container's own.
func (r *run) environment(f bridge.Facts, shell string, role *auth.Role) []string {
	p := r.login.Principal
	client, local := p.Source, r.login.Local
	env := []string{
		"HOME=" + f.Home, "USER=" + f.User, "LOGNAME=" + f.User,
		fmt.Sprintf("SSH_CLIENT=%s %d %d", client.Addr().Unmap(), client.Port(), local.Port()),
		fmt.Sprintf("SSH_CONNECTION=%s %d %s %d", client.Addr().Unmap(), client.Port(), local.Addr().Unmap(), local.Port()),
	}
	if shell != "" {
		env = append(env, "SHELL="+shell)
	}
	if t := r.request.Terminal; t != nil {
		env = append(env, "TERM="+t.Term)
	}
	if r.original != "" {
		env = append(env, "SSH_ORIGINAL_COMMAND="+r.original)
	}
	for _, v := range r.request.Env {
		if role.PermitsEnv(v.Name) || r.service.env.PermitsEnv(v.Name) {
			env = append(env, v.Name+"="+v.Value)
		}
	}
	return env
}

// size is the terminal's, or that of a recording of a session without one.
func (r *run) size() tty.Size {
	if r.request.Terminal != nil {
		return r.request.Terminal.Size
	}
	return tty.Size{}
}

func (r *run) modes() []byte {
	if r.request.Terminal != nil {
		return r.request.Terminal.Modes
	}
	return nil
}

// Reasons why text is not a program and its arguments.
var (
	errQuote    = errors.New("a quote is not closed")
	errEmpty    = errors.New("it is empty")
	errOperator = errors.New("pipes, redirections, variables and patterns need a shell; quote these characters to mean them")
)

// Words splits a command at blanks as a shell would, with its quotes and backslashes, and does nothing else: what only a
// shell could do is an error, never passed on as if it were an argument.
func Words(command string) ([]string, error) {
	var words []string
	var word strings.Builder
	started := false
	for i := 0; i < len(command); i++ {
		c := command[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n':
			if started {
				words = append(words, word.String())
				word.Reset()
				started = false
			}
			continue
		case c == '\'':
			end := strings.IndexByte(command[i+1:], '\'')
			if end < 0 {
				return nil, errQuote
			}
			word.WriteString(command[i+1 : i+1+end])
			i += end + 1
		case c == '"':
			n, err := doubleQuoted(command[i+1:], &word)
			if err != nil {
				return nil, err
			}
			i += n
		case c == '\\':
			if i+1 >= len(command) {
				return nil, errQuote
			}
			i++
			if command[i] == '\n' {
				continue // joins lines
			}
			word.WriteByte(command[i])
		case strings.IndexByte("|&;<>()$`*?[{}!", c) >= 0, (c == '#' || c == '~') && !started:
			return nil, errOperator
		default:
			word.WriteByte(c)
		}
		started = true
	}
	if started {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errEmpty
	}
	return words, nil
}

// doubleQuoted reads up to the closing quote and returns how many bytes that took, the quote included.
func doubleQuoted(s string, word *strings.Builder) (int, error) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1, nil
		case c == '$' || c == '`':
			return 0, errOperator
		case c == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0:
			i++
			if s[i] != '\n' {
				word.WriteByte(s[i])
			}
		default:
			word.WriteByte(c)
		}
	}
	return 0, errQuote
}
