package guard

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/podbastion/podbastion/shellparse/keyfile"
)

// bound are the keys that a user's own files have shells without a gate submit lines with. They are asked for before
// the first key of a line is forwarded, and kept: a file may have changed since its shell has read it.
type bound struct {
	keys   []boundKey
	recent []byte    // the newest forwarded keys
	known  bool      // of the shell that has the terminal, since a line was let run
	tried  time.Time // when it was last asked, since then
	pauses time.Time // until when a node that does not answer is not asked
	vi     viMode
}

type boundKey struct {
	shell string
	keyfile.Binding
}

const maxBound = 1 << 10

// unlearned tells that the shell's keys are to be asked for before any is forwarded; mu is locked.
func (g *Guard) unlearned() bool {
	b := &g.bound
	return !b.known && len(g.queue) > 0 && g.o.Terminal != nil && !g.hooked() && time.Since(b.tried) > lookTime && time.Now().After(b.pauses)
}

// learn asks for them. A node that looked while the shell was changing the terminal is asked again.
func (g *Guard) learn(ctx context.Context) {
	b := &g.bound
	began := time.Now()
	b.tried = began
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	for {
		shell, keys, err := g.o.Terminal.Keys(ctx)
		if err == nil {
			b.known = shell != ""
			b.add(shell, keys)
			return
		}
		if time.Since(began) > lookTime {
			b.pauses = time.Now().Add(stateTime) // keys do not wait for it
			return
		}
		g.await(ctx, pollShort, func() bool { return false })
	}
}

// viMode follows which mode an editor that is like vi would be in.
type viMode struct {
	command bool
	inside  byte // what of a key's sequence, or of a command that takes another key, has come
}

func (m *viMode) key(c byte) {
	switch inside := m.inside; {
	case c == 0x1b:
		m.command, m.inside = true, c
	case inside == 0x1b && (c == '[' || c == 'O'):
		m.inside = '['
	case inside == '[':
		if c >= '@' && c <= '~' {
			m.inside = 0
		}
	case inside != 0 && inside != 0x1b:
		m.inside = 0
	case c == '\r' || c == '\n' || c == interrupt[0]:
		*m = viMode{}
	case m.command && strings.IndexByte("rfFtT", c) >= 0:
		m.inside = c
	default:
		m.inside = 0
		m.command = m.command && strings.IndexByte("iIaAsSCcR", c) < 0
	}
}

// commands tells that the next key is a command.
func (m *viMode) commands() bool { return m.command && (m.inside == 0 || m.inside == 0x1b) }

// add keeps bindings of a shell.
func (b *bound) add(shell string, keys []keyfile.Binding) {
	for _, k := range keys {
		if key := (boundKey{shell, k}); len(b.keys) < maxBound && !slices.Contains(b.keys, key) {
			b.keys = append(b.keys, key)
		}
	}
}

// forwarded notes a key.
func (b *bound) forwarded(key byte) {
	b.vi.key(key)
	if b.recent = append(b.recent, key); len(b.recent) >= 2*keyfile.MaxKeys {
		b.recent = append(b.recent[:0], b.recent[len(b.recent)-keyfile.MaxKeys:]...)
	}
}

// find looks for what a shell, or any where it is not named, has bound: to what stands at a place among the keys that wait,
// or to a key there whose first bytes came before it. It tells how many bytes of those that wait it takes; none where
// nothing is bound.
func (b *bound) find(waiting []byte, at int, vi viMode, shell string) (k keyfile.Binding, n int) {
	if len(b.keys) == 0 || at >= len(waiting) {
		return keyfile.Binding{}, 0
	}
	before := waiting[max(0, at-keyfile.MaxKeys):at]
	if at < keyfile.MaxKeys {
		before = slices.Concat(b.recent, before)
	}
	for _, k := range b.keys {
		last := len(k.Keys) - 1
		switch {
		case shell != "" && k.shell != shell, k.Vi && !vi.commands():
		case k.Special:
			if n := keyfile.Special(before, waiting[at:]); n > 0 {
				return k.Binding, n
			}
		case bytes.HasPrefix(waiting[at:], []byte(k.Keys)):
			return k.Binding, len(k.Keys)
		case waiting[at] == k.Keys[last] && bytes.HasSuffix(before, []byte(k.Keys[:last])):
			return k.Binding, 1
		}
	}
	return keyfile.Binding{}, 0
}
