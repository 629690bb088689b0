package ahead

import (
	"encoding/binary"
	"io"
)

// Packet types, status codes and flags of draft-ietf-secsh-filexfer-02.
const (
	typeInit     = 1
	typeOpen     = 3
	typeClose    = 4
	typeRead     = 5
	typeWrite    = 6
	typeFsetstat = 10
	typeRealpath = 16
	typeStatus   = 101
	typeHandle   = 102
	typeData     = 103
	typeExtended = 200
	typeReply    = 201

	statusOK         = 0
	statusEOF        = 1
	statusNoSuchFile = 2
	statusBadMessage = 5

	openRead = 1
	openMake = 2 | 8 // write, create
	openCut  = 16    // with those: truncate
)

// Bits of the attributes.
const (
	attrSize  = 1
	attrMode  = 4
	attrTimes = 8
)

// A packet is a length, a type and, but for the first one each way, an id.
const (
	lengthSize = 4
	headSize   = lengthSize + 1 + 4
	statusSize = headSize + 4
)

var be = binary.BigEndian

// cutter cuts a stream into packets without holding more of one than is needed to decide on it.
type cutter struct {
	head []byte // of a packet that is not decided on
	left int    // of one that is: what is still to come
	skip bool   // that goes nowhere
}

// next returns the beginning of the next packet, as much as need asks for, once that is there; need is asked again when
// there is as much as it wanted before. It is valid as long as p.
func (c *cutter) next(p []byte, need func(known []byte) int) (known, rest []byte) {
	if len(c.head) == 0 {
		if n := need(p); n <= len(p) {
			return p[:n:len(p)], p[n:]
		}
	}
	for {
		n := need(c.head) - len(c.head)
		if n <= 0 {
			known, c.head = c.head, nil
			return known, p
		}
		if len(p) == 0 {
			return nil, nil
		}
		n = min(n, len(p))
		c.head = append(c.head, p[:n]...)
		p = p[n:]
	}
}

// rest returns what p has of the packet that was decided on, nothing when it goes nowhere.
func (c *cutter) rest(p []byte) (part, rest []byte) {
	n := min(c.left, len(p))
	c.left -= n
	if c.skip {
		return nil, p[n:]
	}
	return p[:n:len(p)], p[n:]
}

// drain returns what is held back of a packet.
func (c *cutter) drain() []byte {
	p := c.head
	c.head = nil
	return p
}

// batch is what is to be written, in parts that may be those of what was read.
type batch [][]byte

func (b *batch) add(p []byte) {
	if len(p) == 0 {
		return
	}
	if n := len(*b); n > 0 {
		last := (*b)[n-1]
		if cap(last) >= len(last)+len(p) && &last[:len(last)+1][len(last)] == &p[0] { // they lie side by side
			(*b)[n-1] = last[:len(last)+len(p)]
			return
		}
	}
	*b = append(*b, p)
}

// joined bounds what is copied in order to be written at once.
const joined = 16 << 10

func (b batch) write(w io.Writer) error {
	if len(b) > 1 {
		size := 0
		for _, p := range b {
			size += len(p)
		}
		if size <= joined {
			one := make([]byte, 0, size)
			for _, p := range b {
				one = append(one, p...)
			}
			b = batch{one}
		}
	}
	for _, p := range b {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// reader takes a packet apart. Once something does not fit, ok is false.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint32) []byte {
	if r.bad || uint64(n) > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return be.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return be.Uint64(p)
	}
	return 0
}

func (r *reader) bytes() []byte { return r.take(r.u32()) }

// end tells that all of the packet was understood.
func (r *reader) end() bool { return !r.bad && len(r.b) == 0 }

// packet begins one; seal gives it its length.
func packet(kind byte, id uint32) []byte {
	return be.AppendUint32([]byte{0, 0, 0, 0, kind}, id)
}

func extended(id uint32, name string) []byte { return appendString(packet(typeExtended, id), name) }

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(be.AppendUint32(b, uint32(len(s))), s...) // #nosec G115 -- of bounded packets
}

func seal(b []byte) []byte {
	be.PutUint32(b, uint32(len(b)-lengthSize)) // #nosec G115 -- bounded
	return b
}

func status(id, code uint32, text string) []byte {
	b := be.AppendUint32(packet(typeStatus, id), code)
	return seal(appendString(appendString(b, text), ""))
}
