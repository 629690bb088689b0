package ahead

import (
	"bytes"
	"slices"
	"time"

	"github.com/podbastion/podbastion/internal/filewire"
)

// request takes one packet of the client's, or some of one, and returns what is behind it. To the server goes what is
// added to server; each request that does, or waits to, has its place in waiting.
func (f *Front) request(p []byte, server, client *batch) []byte {
	if f.asked.left > 0 {
		part, rest := f.asked.rest(p)
		server.add(part)
		return rest
	}
	if f.blind {
		f.release()
		server.add(f.takeLate())
		server.add(f.asked.drain())
		server.add(p)
		return nil
	}
	known, rest := f.asked.next(p, f.needed)
	if known != nil {
		f.decide(known, server, client)
	}
	return rest
}

// needed tells how much of a request must be known.
func (f *Front) needed(known []byte) int {
	if len(known) < lengthSize {
		return lengthSize
	}
	switch n := be.Uint32(known); {
	case !sensible(n):
		return lengthSize
	case len(known) < headSize:
		return headSize
	case n > maxWhole && (f.held == nil || known[lengthSize] != typeWrite || n > maxAhead+maxWhole):
		return headSize
	default:
		return lengthSize + int(n)
	}
}

// sensible tells that a request may have that length: one with an id, and not too much.
func sensible(length uint32) bool { return length >= headSize-lengthSize && length <= maxPacket }

// giveUp understands nothing any more. What was promised so far is kept.
func (f *Front) giveUp(server *batch) {
	f.blind, f.on = true, false
	f.release()
	f.forgetAll()
	server.add(f.takeLate())
}

func (f *Front) decide(known []byte, server, client *batch) {
	length := be.Uint32(known)
	if !sensible(length) || !f.begun && !asksVersion3(known) {
		f.giveUp(server)
		server.add(known)
		return
	}
	kind, id := known[lengthSize], be.Uint32(known[lengthSize+1:])
	f.asked.left = int(length) + lengthSize - len(known)
	if !f.begun {
		f.begun = true
		f.pass(known, server)
		// Only a server that knows it says that this makes no sense.
		server.add(seal(extended(0, filewire.Get+f.secret)))
		f.await(answer{kind: probed})
		return
	}
	r := &reader{b: known[headSize:]}
	f.heeds = f.heeds.next(f.version, kind, &reader{b: r.b})
	if f.held != nil {
		if f.asked.left == 0 && f.more(kind, &reader{b: r.b}, id, server, client) {
			return
		}
		f.release()
	}
	switch {
	case !f.on || f.asked.left > 0:
	case kind == typeOpen:
		path, flags := r.bytes(), r.u32()
		switch {
		case r.bad:
		case flags == openRead && f.get(known, id, server):
			return
		case f.heeds.minds(flags):
			f.forgetAll()
			f.make(path, known, id, server, client)
			return
		}
	case kind == typeRead:
		if f.read(r, id, client) {
			return
		}
		f.pass(known, server)
		return
	case kind == typeClose:
		if f.closed(r, known, id, client) {
			return
		}
		f.pass(known, server)
		return
	}
	f.forgetAll() // a file may change by it, or somebody looks at what has changed
	f.pass(known, server)
}

func asksVersion3(known []byte) bool {
	return known[lengthSize] == typeInit && len(known) == lengthSize+int(be.Uint32(known)) && be.Uint32(known[lengthSize+1:]) >= 3
}

// pass sends a request as it is, behind what has waited.
func (f *Front) pass(known []byte, server *batch) {
	server.add(f.takeLate())
	server.add(known)
	f.await(answer{kind: passed})
}

// file is one that was read when it was opened.
type file struct {
	handle []byte // nil: the answer is on its way
	data   []byte // what the client has not had yet
	next   uint64 // of the file's start, so much the client has had
	told   bool   // of the end
	stale  bool
	at     time.Time
}

// get has a file read that is opened.
func (f *Front) get(open []byte, id uint32, server *batch) bool {
	if len(f.kept) == maxKept {
		if f.kept[0].handle == nil {
			return false
		}
		f.forget(f.kept[0])
	}
	k := &file{}
	f.kept = append(f.kept, k)
	server.add(f.takeLate())
	server.add(seal(append(be.AppendUint32(extended(id, filewire.Get+f.secret), maxAhead), open[headSize:]...)))
	f.await(answer{kind: got, file: k})
	return true
}

func (f *Front) find(handle []byte) *file {
	for _, k := range f.kept {
		if k.handle != nil && bytes.Equal(k.handle, handle) {
			return k
		}
	}
	for _, k := range f.kept {
		k.stale = k.stale || k.handle == nil // it may be one of these: a handle can be guessed
	}
	return nil
}

// read answers with what was read ahead.
func (f *Front) read(r *reader, id uint32, client *batch) bool {
	handle, off, n := r.bytes(), r.u64(), r.u32()
	k := f.find(handle)
	if k == nil {
		return false
	}
	if !r.end() || f.owed > 0 || k.stale || k.told || off != k.next || n == 0 || time.Since(k.at) > fresh {
		f.forget(k)
		return false
	}
	if len(k.data) == 0 {
		k.told = true
		client.add(status(id, statusEOF, "end of file"))
		return true
	}
	part := k.data[:min(uint32(len(k.data)), n)] // #nosec G115 -- bounded
	k.data = k.data[len(part):]
	k.next += uint64(len(part))
	client.add(seal(appendString(packet(typeData, id), part)))
	return true
}

// closed answers to the close of a file that the client had whole, and leaves the rest for later.
func (f *Front) closed(r *reader, known []byte, id uint32, client *batch) bool {
	k := f.find(r.bytes())
	if k == nil {
		return false
	}
	if !r.end() || !k.told || f.owed > 0 {
		f.forget(k)
		return false
	}
	f.drop(k) // all, and the end: so the server thinks by itself
	f.delay(known)
	f.await(answer{kind: skipped})
	client.add(status(id, statusOK, "success"))
	return true
}

// forget drops what was read ahead, and has the server know how much of it was of use.
func (f *Front) forget(k *file) {
	k.data, k.stale = nil, true
	if k.handle == nil {
		return
	}
	f.drop(k)
	end := uint32(0)
	if k.told {
		end = 1
	}
	b := be.AppendUint64(appendString(extended(0, filewire.Took+f.secret), k.handle), k.next)
	f.delay(seal(be.AppendUint32(b, end)))
	f.await(answer{kind: skipped})
}

func (f *Front) drop(k *file) {
	f.kept = slices.DeleteFunc(f.kept, func(o *file) bool { return o == k })
}

func (f *Front) forgetAll() {
	for i := len(f.kept) - 1; i >= 0; i-- {
		f.forget(f.kept[i])
	}
}
