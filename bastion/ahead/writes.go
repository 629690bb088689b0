package ahead

import (
	"bytes"

	"github.com/podbastion/podbastion/internal/filewire"
)

// draft is a file that a client was told to have opened, and perhaps written. What is done with it is one request, once
// it is closed; if anything else comes before, what there is goes to the server at once, which from then on knows the
// file by the handle that the client has.
type draft struct {
	handle uint64
	open   []byte // the client's request, from the path on
	data   []byte

	attributes []byte // what was set then, as strings
}

func (f *Front) put(d *draft, id uint32, handle uint64) []byte {
	b := be.AppendUint64(extended(id, filewire.Put+f.secret), handle)
	return seal(append(appendString(appendString(b, d.open), d.data), d.attributes...))
}

// make promises that a file is opened to be written, where those before it were, too; else it asks.
func (f *Front) make(path, known []byte, id uint32, server, client *batch) {
	dir := string(path[:bytes.LastIndexByte(path, '/')+1])
	switch {
	case len(f.waiting) >= maxOwed:
		f.pass(known, server)
	case f.refused || f.owed > 0 || dir != f.dir || f.good < enough:
		server.add(f.takeLate())
		server.add(known)
		f.await(answer{kind: opened, dir: dir})
	default:
		f.last++
		f.wait()
		f.held = &draft{handle: filewire.OwnHandle | f.last, open: bytes.Clone(known[headSize:])}
		client.add(seal(appendString(packet(typeHandle, id), be.AppendUint64(nil, f.held.handle))))
	}
}

// more is the next request while a file is held: one that goes on with it, or not.
func (f *Front) more(kind byte, r *reader, id uint32, server, client *batch) bool {
	handle := r.bytes()
	if len(handle) != 8 || be.Uint64(handle) != f.held.handle {
		return false
	}
	switch {
	case kind == typeWrite && f.held.write(r), kind == typeFsetstat && f.held.setattr(r):
		client.add(status(id, statusOK, "success"))
	case kind == typeClose && r.end(): // how it all went is the answer
		server.add(f.takeLate())
		server.add(f.put(f.held, id, 0))
		f.held = nil
		f.await(answer{kind: written})
	default:
		return false
	}
	return true
}

// write takes what is written, if it is not much and in order.
func (d *draft) write(r *reader) bool {
	off, data := r.u64(), r.bytes()
	if !r.end() || d.attributes != nil || off != uint64(len(d.data)) || len(d.data)+len(data) > maxAhead {
		return false
	}
	d.data = append(d.data, data...)
	return true
}

// setattr takes what a client sets of the file that it has written: no other size than it has, and no owner, which
// would be another matter.
func (d *draft) setattr(r *reader) bool {
	all := r.b
	flags := r.u32()
	if flags&attrSize != 0 && r.u64() != uint64(len(d.data)) {
		return false
	}
	if flags&attrMode != 0 {
		r.u32()
	}
	if flags&attrTimes != 0 {
		r.u64()
	}
	if flags&^(attrSize|attrMode|attrTimes) != 0 || !r.end() || len(d.attributes) > maxWhole {
		return false
	}
	d.attributes = appendString(d.attributes, all)
	return true
}

// release has the server do what was promised. What fails fails whatever comes with that handle.
func (f *Front) release() {
	if d := f.held; d != nil {
		f.held = nil
		f.delay(f.put(d, 0, d.handle))
		f.await(answer{kind: promised})
	}
}
