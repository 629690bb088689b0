package sftp

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/podbastion/podbastion/agent/files/access"
)

// Packet types of draft-ietf-secsh-filexfer-02, section 3.
const (
	typeInit     = 1
	typeVersion  = 2
	typeOpen     = 3
	typeClose    = 4
	typeRead     = 5
	typeWrite    = 6
	typeLstat    = 7
	typeFstat    = 8
	typeSetstat  = 9
	typeFsetstat = 10
	typeOpendir  = 11
	typeReaddir  = 12
	typeRemove   = 13
	typeMkdir    = 14
	typeRmdir    = 15
	typeRealpath = 16
	typeStat     = 17
	typeRename   = 18
	typeReadlink = 19
	typeSymlink  = 20
	typeStatus   = 101
	typeHandle   = 102
	typeData     = 103
	typeName     = 104
	typeAttrs    = 105
	typeExtended = 200
	typeReply    = 201
)

// Status codes, section 7.
const (
	statusOK          = 0
	statusEOF         = 1
	statusNoSuchFile  = 2
	statusDenied      = 3
	statusFailure     = 4
	statusBadMessage  = 5
	statusUnsupported = 8
)

// Bits of the open request, section 6.3.
const (
	openRead   = 1
	openWrite  = 2
	openAppend = 4
	openCreate = 8
	openTrunc  = 16
	openExcl   = 32
)

// Bits of the attributes, section 5.
const (
	attrSize     = 1
	attrOwner    = 2
	attrMode     = 4
	attrTimes    = 8
	attrExtended = 0x80000000
)

var errMessage = errors.New("bad message")

// reader takes a packet apart. After the first thing that does not fit, all are zero and err is set.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.err, r.b = errMessage, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (r *reader) bytes() []byte  { return r.take(r.u32()) }
func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) attributes() access.Attributes {
	var a access.Attributes
	flags := r.u32()
	if flags&attrSize != 0 {
		n := r.u64()
		a.Size = &n
	}
	if flags&attrOwner != 0 {
		a.Owner = &access.Owner{UID: r.u32(), GID: r.u32()}
	}
	if flags&attrMode != 0 {
		n := r.u32()
		a.Mode = &n
	}
	if flags&attrTimes != 0 {
		at, mt := r.u32(), r.u32()
		a.Times = &access.Times{Access: unix.Timespec{Sec: int64(at)}, Modify: unix.Timespec{Sec: int64(mt)}}
	}
	if flags&attrExtended != 0 {
		for n := r.u32(); n > 0 && r.err == nil; n-- {
			r.bytes()
			r.bytes()
		}
	}
	return a
}

// builder puts a packet together. Its length is filled in by finish.
type builder struct {
	b     []byte
	start int
}

func begin(b []byte, kind byte, id uint32) builder {
	start := len(b)
	b = append(b, 0, 0, 0, 0, kind)
	return builder{binary.BigEndian.AppendUint32(b, id), start}
}

func (w *builder) u32(n uint32)    { w.b = binary.BigEndian.AppendUint32(w.b, n) }
func (w *builder) u64(n uint64)    { w.b = binary.BigEndian.AppendUint64(w.b, n) }
func (w *builder) string(s string) { w.u32(uint32(len(s))); w.b = append(w.b, s...) } // #nosec G115 -- what we send is short

func (w *builder) attrs(st unix.Stat_t) {
	w.u32(attrSize | attrOwner | attrMode | attrTimes)
	w.u64(uint64(max(st.Size, 0))) // #nosec G115 -- not negative
	w.u32(st.Uid)
	w.u32(st.Gid)
	w.u32(st.Mode)
	w.u32(clampTime(st.Atim.Sec))
	w.u32(clampTime(st.Mtim.Sec))
}

// clampTime fits a time into what version 3 has for it.
func clampTime(sec int64) uint32 { return uint32(min(max(sec, 0), 0xffffffff)) } // #nosec G115 -- clamped

func (w *builder) finish() []byte {
	binary.BigEndian.PutUint32(w.b[w.start:], uint32(len(w.b)-w.start-4)) // #nosec G115 -- packets are bounded
	return w.b
}
