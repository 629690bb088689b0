package session

import (
	"path"
	"strings"

	"github.com/podbastion/podbastion/internal/filewire"
)

// Recognise tells the commands by which clients start the far side of a file transfer: scp -t, scp -f and sftp-server.
// Anything that is not plainly one of them, alone, is a command like any other.
func Recognise(command string) (filewire.Header, bool) {
	words, ok := patterns(command)
	if !ok || len(words) == 0 {
		return filewire.Header{}, false
	}
	switch path.Base(words[0]) {
	case "sftp-server", "internal-sftp":
		return filewire.Header{Protocol: filewire.SFTP}, len(words) == 1
	case "scp":
		c, ok := copyArguments(words[1:])
		return filewire.Header{Protocol: filewire.SCP, SCP: c}, ok
	}
	return filewire.Header{}, false
}

// copyArguments reads scp's own arguments: one of -t and -f, and no option that is not the protocol's.
func copyArguments(words []string) (*filewire.Copy, bool) {
	c := &filewire.Copy{}
	source := false
	for len(words) > 0 && len(words[0]) > 1 && words[0][0] == '-' {
		w := words[0]
		words = words[1:]
		if w == "--" {
			break
		}
		for _, o := range w[1:] {
			switch o {
			case 't':
				c.Sink = true
			case 'f':
				source = true
			case 'r':
				c.Recursive = true
			case 'p':
				c.Preserve = true
			case 'd':
				c.Directory = true
			case 'v', 'q', 'B', 'C', 'E', '1', '2', '4', '6': // what clients may send and what means nothing here
			default:
				return nil, false
			}
		}
	}
	c.Paths = words
	return c, c.Sink != source && len(words) > 0 && (!c.Sink || len(words) == 1)
}

// patterns splits a command into words whose wildcards are those that a shell would expand; what was quoted has \
// before it. It fails on what only a shell could do otherwise.
func patterns(command string) ([]string, bool) {
	var words []string
	var word strings.Builder
	started := false
	literal := func(c byte) {
		if strings.IndexByte(`\*?[`, c) >= 0 || c == '~' && word.Len() == 0 {
			word.WriteByte('\\')
		}
		word.WriteByte(c)
	}
	for i := 0; i < len(command); i++ {
		c := command[i]
		switch {
		case c == ' ' || c == '\t':
			if started {
				words = append(words, word.String())
				word.Reset()
				started = false
			}
			continue
		case c == '\'' || c == '"':
			end := closing(command[i+1:], c)
			if end < 0 {
				return nil, false
			}
			inside := command[i+1 : i+1+end]
			for j := 0; j < len(inside); j++ {
				if c == '"' && inside[j] == '\\' && j+1 < len(inside) && strings.IndexByte("$`\"\\", inside[j+1]) >= 0 {
					j++
				} else if c == '"' && (inside[j] == '$' || inside[j] == '`') {
					return nil, false
				}
				literal(inside[j])
			}
			i += end + 1
		case c == '\\':
			if i+1 >= len(command) || command[i+1] == '\n' {
				return nil, false
			}
			i++
			literal(command[i])
		case strings.IndexByte("|&;<>()$`{}!\n", c) >= 0, c == '#' && !started:
			return nil, false
		default:
			word.WriteByte(c)
		}
		started = true
	}
	if started {
		words = append(words, word.String())
	}
	return words, true
}

// closing finds the quote that ends what began before s.
func closing(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return i
		case s[i] == '\\' && quote == '"':
			i++
		}
	}
	return -1
}

// rsyncServer tells the command by which rsync starts its far side.
func rsyncServer(command string) bool {
	words, ok := patterns(command)
	return ok && len(words) > 1 && path.Base(words[0]) == "rsync" && words[1] == "--server"
}

const noRsync = "this container has no rsync; use scp -r or sftp instead, which need nothing in the container, or add rsync to its image"
