package ahead

import (
	"slices"
	"time"
)

// answer is one, or several in a row that only pass, that the server owes.
type answer struct {
	kind  int
	count int    // of those that only pass
	file  *file  // of got
	dir   string // of opened
}

// Kinds of answers.
const (
	passed   = iota // to the client, as they are
	skipped         // to nobody
	probed          // to nobody: whether there is anything to do here
	got             // to the client as what it asked for, an open
	opened          // to the client: of an open to write
	promised        // to nobody: the client was told that it went well
	written         // to the client, whose close it answers
)

// toClient tells that the client waits for an answer.
func (a answer) toClient() bool {
	return a.kind == passed || a.kind == got || a.kind == opened || a.kind == written
}

// await gives a request its place.
func (f *Front) await(a answer) {
	if a.toClient() {
		f.owed++
	}
	if a.kind == passed {
		if n := len(f.waiting); n > 0 && f.waiting[n-1].kind == passed {
			f.waiting[n-1].count++
			return
		}
		a.count = 1
	}
	f.waiting = append(f.waiting, a)
}

// front is the kind of the answer that comes now. One that nobody asked for passes.
func (f *Front) front() int {
	if len(f.waiting) == 0 {
		return passed
	}
	return f.waiting[0].kind
}

// came is called when an answer is there to its end.
func (f *Front) came() {
	if len(f.waiting) == 0 {
		return
	}
	w := &f.waiting[0]
	if w.toClient() {
		f.owed--
	}
	if w.count--; w.count <= 0 {
		f.waiting = slices.Delete(f.waiting, 0, 1)
	}
}

// answer takes one packet of the server's, or some of one, and returns what is behind it.
func (f *Front) answer(p []byte, client *batch) []byte {
	if f.said.left > 0 {
		part, rest := f.said.rest(p)
		client.add(part)
		if f.said.left == 0 {
			f.came()
		}
		return rest
	}
	if f.blind && len(f.waiting) == 0 {
		client.add(f.said.drain())
		client.add(p)
		return nil
	}
	known, rest := f.said.next(p, f.wanted)
	if known != nil {
		f.judge(known, client)
	}
	return rest
}

// wanted tells how much of an answer must be known.
func (f *Front) wanted(known []byte) int {
	if len(known) < lengthSize {
		return lengthSize
	}
	n := int64(be.Uint32(known)) + lengthSize
	switch {
	case n < headSize:
		return lengthSize
	case len(known) < headSize:
		return headSize
	case f.front() == got && known[lengthSize] == typeReply && n <= maxAhead+maxWhole:
		return int(n)
	}
	return int(min(n, statusSize))
}

func (f *Front) judge(known []byte, client *batch) {
	length := int64(be.Uint32(known))
	if length < headSize-lengthSize { // no server says so: whose answers these are cannot be told
		f.blind, f.on, f.waiting, f.owed = true, false, nil, 1
		client.add(known)
		return
	}
	f.said.left = int(length + lengthSize - int64(len(known)))
	f.said.skip = false
	out := known
	code := -1 // of a status
	if known[lengthSize] == typeStatus && len(known) == statusSize {
		code = int(be.Uint32(known[headSize:]))
	}
	switch f.front() {
	case passed:
		if code > statusEOF && code != statusNoSuchFile {
			f.good = 0
		}
	case opened:
		f.trust(f.waiting[0].dir, known[lengthSize] == typeHandle)
	case promised:
		f.refused = f.refused || code != statusOK
		f.said.skip, out = true, nil
	case written:
		f.refused = f.refused || code != statusOK
	case got:
		out = f.gotten(f.waiting[0].file, known)
	case probed:
		f.on = !f.blind && code == statusBadMessage
		f.said.skip, out = true, nil
	case skipped:
		f.said.skip, out = true, nil
	}
	client.add(out)
	if f.said.left == 0 {
		f.came()
	}
}

// trust counts opens that went well.
func (f *Front) trust(dir string, good bool) {
	switch {
	case !good:
		f.good = 0
	case dir == f.dir:
		f.good++
	default:
		f.dir, f.good = dir, 1
	}
}

// gotten keeps what was read ahead, and makes the answer one to an open.
func (f *Front) gotten(k *file, known []byte) []byte {
	r := &reader{b: known[headSize:]}
	handle, whole, data := r.bytes(), r.u32(), r.bytes()
	if known[lengthSize] != typeReply || f.said.left > 0 || !r.end() || len(data) > maxAhead || len(handle) > maxWhole {
		f.drop(k)
		return known // a status: it was not opened
	}
	k.handle = slices.Clone(handle)
	switch {
	case whole == 0:
		f.drop(k)
	case k.stale:
	default:
		k.data, k.at = slices.Clone(data), time.Now()
	}
	return seal(appendString(packet(typeHandle, be.Uint32(known[lengthSize+1:])), handle))
}
