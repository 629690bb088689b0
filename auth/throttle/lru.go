package throttle

import "container/list"

// lru is a map of bounded size: what was not used for longest makes room.
type lru[V any] struct {
	max   int
	order *list.List // of entry; the newest in front
	byKey map[key]*list.Element
}

type entry[V any] struct {
	key   key
	value V
}

func newLRU[V any](max int) *lru[V] {
	return &lru[V]{max: max, order: list.New(), byKey: make(map[key]*list.Element)}
}

func (l *lru[V]) get(k key) (v V, ok bool) {
	e, ok := l.byKey[k]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[V]).value, true
}

func (l *lru[V]) put(k key, v V) {
	if e, ok := l.byKey[k]; ok {
		e.Value.(*entry[V]).value = v
		l.order.MoveToFront(e)
		return
	}
	if len(l.byKey) >= l.max {
		oldest := l.order.Back()
		delete(l.byKey, l.order.Remove(oldest).(*entry[V]).key)
	}
	l.byKey[k] = l.order.PushFront(&entry[V]{k, v})
}

func (l *lru[V]) drop(k key) {
	if e, ok := l.byKey[k]; ok {
		l.order.Remove(e)
		delete(l.byKey, k)
	}
}
