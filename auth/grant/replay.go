package grant

import (
	"container/heap"
	"time"
)

// maxReplays bounds the memory of used grants: at the limit further grants are refused until old ones expire.
const maxReplays = 1 << 17

// replays remembers used ids until they could not be used again anyway. The zero value with a limit is ready.
type replays struct {
	limit  int
	ids    map[string]struct{}
	queue  expiries
	purged time.Time // the latest expiry of an id that was forgotten
}

type used struct {
	id    string
	until time.Time
}

// use records the id, which stays known for as long as a verifier's clock could accept it.
func (r *replays) use(id string, until, now time.Time) error {
	for len(r.queue) > 0 && r.queue[0].until.Before(now) {
		old := heap.Pop(&r.queue).(used)
		delete(r.ids, old.id)
		r.purged = old.until
	}
	// A clock that was set back must not bring back grants whose ids are forgotten.
	if !until.After(r.purged) {
		return ErrReplayed
	}
	if _, ok := r.ids[id]; ok {
		return ErrReplayed
	}
	if len(r.ids) >= r.limit {
		return ErrReplayFull
	}
	if r.ids == nil {
		r.ids = make(map[string]struct{})
	}
	r.ids[id] = struct{}{}
	heap.Push(&r.queue, used{id, until})
	return nil
}

// expiries is a heap with the earliest expiry on top.
type expiries []used

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].until.Before(e[j].until) }
func (e expiries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *expiries) Push(x any)        { *e = append(*e, x.(used)) }
func (e *expiries) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
