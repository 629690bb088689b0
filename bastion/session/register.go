package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/target"
)

// newID makes a session's identity: 128 bits and more, fit for file names and paths.
func newID() string { return strings.ToLower(rand.Text()) }

// live is one session or forward that runs.
type live struct {
	id        string
	principal *auth.Principal
	target    target.Target
	role      atomic.Pointer[auth.Role] // of the newest document
	files     *auth.Files               // that a transfer was started with; the agent holds to them to its end
	end       context.CancelCauseFunc   // with an *End
	notice    func(text string)         // tells the client something; must not block
	counted   bool                      // against the account's sessions
	number    uint64                    // by which it came; guarded by register.mu
	changed   chan struct{}             // holds one when the role was replaced by another
}

func (l *live) setRole(role *auth.Role) {
	if l.role.Swap(role) == role {
		return
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// register holds what is live, and the limits on how much.
type register struct {
	max int

	mu       sync.Mutex // guards all below
	sessions map[string]*live
	choosing map[string]context.CancelCauseFunc // who has a picker open, and what ends that, with an *End
	counts   map[auth.Account]int
	total    int
	last     uint64
	draining bool
	empty    chan struct{} // closed when draining and nothing is left
}

func newRegister(max int) *register {
	return &register{max: max, sessions: map[string]*live{}, choosing: map[string]context.CancelCauseFunc{}, counts: map[auth.Account]int{}, empty: make(chan struct{})}
}

// enter registers l, or says which limit forbids it.
func (r *register) enter(l *live) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return ErrDraining
	}
	if l.counted {
		account, most := l.principal.Account, l.role.Load().Limits.Sessions
		switch {
		case most > 0 && r.counts[account] >= most:
			return ErrSessions
		case r.max > 0 && r.total >= r.max:
			return ErrFull
		}
		r.counts[account]++
		r.total++
	}
	r.last++
	l.number = r.last
	r.sessions[l.id] = l
	return nil
}

// choose registers who has a picker open, which is no session yet.
func (r *register) choose(id string, end context.CancelCauseFunc) (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return nil, ErrDraining
	}
	r.choosing[id] = end
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.choosing, id)
	}, nil
}

// surplus are the newest sessions beyond what their accounts' roles permit.
func (r *register) surplus() []*live {
	r.mu.Lock()
	defer r.mu.Unlock()
	older := map[auth.Account]int{}
	var out []*live
	for _, l := range slices.SortedFunc(maps.Values(r.sessions), func(a, b *live) int { return cmp.Compare(a.number, b.number) }) {
		if !l.counted {
			continue
		}
		account := l.principal.Account
		if most := l.role.Load().Limits.Sessions; most > 0 && older[account] >= most {
			out = append(out, l)
			continue // it ends: the next one takes its place
		}
		older[account]++
	}
	return out
}

func (r *register) leave(l *live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.sessions[l.id]; !ok {
		return
	}
	delete(r.sessions, l.id)
	if l.counted {
		r.total--
		if r.counts[l.principal.Account]--; r.counts[l.principal.Account] <= 0 {
			delete(r.counts, l.principal.Account)
		}
	}
	if r.draining && len(r.sessions) == 0 {
		close(r.empty)
	}
}

func (r *register) all() []*live {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*live, 0, len(r.sessions))
	for _, l := range r.sessions {
		out = append(out, l)
	}
	return out
}

// drain lets nothing new in, and ends pickers: what they led to would be new. The channel is closed once nothing is left.
func (r *register) drain() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.draining {
		r.draining = true
		for _, end := range r.choosing {
			end(&End{Reason: "drain: the bastion is being stopped", Text: stopping})
		}
		if len(r.sessions) == 0 {
			close(r.empty)
		}
	}
	return r.empty
}
