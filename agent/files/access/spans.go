package access

import "slices"

// maxSpans bounds what is kept of a file that is read here and there.
const maxSpans = 1024

// spans are the parts of a file that have passed: apart from one another, in order.
type spans struct {
	list []span
	many bool // there were more than can be kept
}

type span struct{ from, to int64 }

func (s *spans) add(from, to int64) {
	if from >= to || s.many {
		return
	}
	first, _ := slices.BinarySearchFunc(s.list, from, func(p span, from int64) int {
		if p.to < from { // one that only touches becomes part of it
			return -1
		}
		return 1
	})
	last := first
	for ; last < len(s.list) && s.list[last].from <= to; last++ {
		from, to = min(from, s.list[last].from), max(to, s.list[last].to)
	}
	s.list = slices.Replace(s.list, first, last, span{from, to})
	if len(s.list) > maxSpans {
		s.list, s.many = nil, true
	}
}

// cover tells that so many bytes from the start have passed.
func (s *spans) cover(size int64) bool {
	return len(s.list) > 0 && s.list[0].from == 0 && s.list[0].to >= size
}
