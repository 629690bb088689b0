package ahead_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/podbastion/podbastion/bastion/ahead"
	"github.com/podbastion/podbastion/internal/filewire"
)

const handle1 = "\x00\x00\x00\x00\x00\x00\x00\x01"

// handle5 is what the fifth open is answered by.
const handle5 = "\x00\x00\x00\x00\x00\x00\x00\x05"

// promising lets more follow what has the next opens promised.
func promising(more ...[]byte) (out [][]byte) {
	for i := range 4 {
		h := handle1[:7] + string(rune(i+1))
		out = append(out, packet(open, 2*i, "t", creates, 0), packet(closing, 2*i+1, h))
	}
	return append(out, more...)
}

// same is what of the answers must be the same: times are not.
func same(out []byte) []byte {
	var b []byte
	for len(out) >= 4 {
		n := binary.BigEndian.Uint32(out)
		if uint64(n) > uint64(len(out)-4) {
			break
		}
		if p := out[4 : 4+n]; len(p) > 5 && (p[0] == 104 || p[0] == 105 || p[0] == 201) {
			b = append(b, p[:5]...)
		} else {
			b = append(b, out[:4+n]...)
		}
		out = out[4+n:]
	}
	return append(b, out...)
}

// opens counts requests that a handle may answer.
func opens(in []byte) (n int) {
	for len(in) >= 5 {
		if in[4] == open {
			n++
		}
		in = in[min(uint64(len(in)), 4+uint64(binary.BigEndian.Uint32(in))):]
	}
	return n
}

// played sends all that a client has to say, either at once or each packet when the one before is answered. Then handle
// n stands for the one that it was given as the n-th. kept: all that was promised was.
func played(t *testing.T, in []byte, front, turns bool, chunk int) (answers []byte, kept bool) {
	s := begin(t, "/**", front, chunk)
	old := time.Unix(1e9, 0)
	for _, name := range []string{"f", "g", "d/x", "big", "empty"} {
		must(t, os.Chtimes(s.dir+"/"+name, old, old))
	}
	var out []byte
	var handles []string
	for turns && len(in) >= 4 {
		n := binary.BigEndian.Uint32(in)
		if n < 5 || n > 10_000 || uint64(n) > uint64(len(in)-4) {
			break
		}
		p := bytes.Clone(in[:4+n])
		if n >= 17 && p[4] != open && binary.BigEndian.Uint32(p[9:]) == 8 {
			if i := binary.BigEndian.Uint64(p[13:]); i >= 1 && i <= uint64(len(handles)) {
				copy(p[13:], handles[i-1])
			}
		}
		if _, err := s.to.Write(p); err != nil {
			break
		}
		in = in[4+n:]
		size := make([]byte, 4)
		if _, err := io.ReadFull(s.from, size); err != nil {
			break
		}
		body := make([]byte, binary.BigEndian.Uint32(size))
		if _, err := io.ReadFull(s.from, body); err != nil {
			t.Fatal("half an answer")
		}
		if body[0] == 102 {
			handles = append(handles, string(body[9:]))
			clear(body[9:])
		}
		out = append(append(out, same(append(size, body...))...), '.')
	}
	go func() { _, _ = s.to.Write(in); _ = s.to.Close() }()
	rest, err := io.ReadAll(s.from)
	must(t, err)
	_ = s.closed()
	return append(out, same(rest)...), !slices.ContainsFunc(s.events, func(e filewire.Event) bool { return e.Type == filewire.Notice })
}

// FuzzSame: whatever a client says, it gets the answers that it would get without a Front, unless a promise fails.
func FuzzSame(f *testing.F) {
	session := func(packets ...[]byte) []byte {
		return append(packet(1, 3), bytes.Join(slices.Concat(asSFTP, packets), nil)...)
	}
	for _, in := range [][]byte{
		session(packet(open, 1, "f", reads, 0), packet(read, 2, handle1, uint64(0), 100), packet(read, 3, handle1, uint64(7), 100), packet(closing, 4, handle1), packet(closing, 5, handle1)),
		session(packet(open, 1, "f", reads, 0), packet(read, 2, handle1, uint64(0), 3), packet(setstat, 3, "f", 1, uint64(5)), packet(read, 4, handle1, uint64(3), 100), packet(closing, 5, handle1)),
		session(packet(open, 1, "d/x", reads, 0), packet(open, 2, "n", creates, 0), packet(write, 3, handle1[:7]+"\x02", uint64(0), "new"), packet(closing, 4, handle1[:7]+"\x02"), packet(read, 5, handle1, uint64(0), 9)),
		session(packet(open, 1, "n", creates, 0), packet(write, 2, handle1, uint64(0), "text"), packet(closing, 3, handle1), packet(stat, 4, "n"), packet(open, 5, "n", reads, 0)),
		session(promising(packet(open, 9, "n", creates, 0), packet(write, 10, handle5, uint64(0), "text"), packet(fsetstat, 11, handle5, 1, uint64(4)), packet(closing, 12, handle5), packet(open, 13, "n", reads, 0))...),
		session(promising(packet(open, 9, "n", creates, 0), packet(write, 10, handle5, uint64(0), "text"), packet(fstat, 11, handle5), packet(write, 12, handle5, uint64(4), "more"), packet(closing, 13, handle5))...),
		session(promising(packet(open, 9, "f", 2|8, 0), packet(open, 10, "d", creates, 0), packet(closing, 11, handle5), packet(read, 12, handle5, uint64(0), 9))...),
		session(packet(extended, 1, filewire.Put+secret, uint64(0), "\x00\x00\x00\x01n\x00\x00\x00\x1a\x00\x00\x00\x00", "text"), packet(open, 2, "n", reads, 0)),
		session(packet(extended, 1, filewire.Get+secret, 100, "f", 1, 0), packet(extended, 2, filewire.Took+secret, handle1, uint64(3), 0), packet(closing, 3, handle1)),
		session(packet(open, 1, "nope", reads, 0), packet(77, 2), packet(extended, 3, "limits@openssh.com")),
		{0xff, 0xff, 0xff, 0xff, 1}, {0, 0, 0, 0}, {0, 0, 0, 1, 5},
	} {
		f.Add(in, true, byte(0))
		f.Add(in, false, byte(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, turns bool, chunk byte) {
		if len(in) > 16<<10 || !turns && opens(in) > 4 || bytes.Contains(in, []byte("\x80\x00\x00\x00")) {
			return // a handle that is guessed is another where the open was promised
		}
		want, _ := played(t, in, false, turns, 1+int(chunk))
		if got, kept := played(t, in, true, turns, 1+int(chunk)); kept && !bytes.Equal(got, want) {
			t.Errorf("answers are\n%.400q, without it\n%.400q", got, want)
		}
	})
}

// FuzzServer: nothing that either side says in whatever order is fatal, and a client that asks for nothing special
// gets and gives all bytes as they are.
func FuzzServer(f *testing.F) {
	known := append(packet(2, 3), packet(101, 0, 5, "bad message", "")...)
	client := append(packet(1, 3), packet(open, 1, "f", reads, 0)...)
	client = append(client, append(packet(read, 2, handle1, uint64(0), 9), packet(closing, 3, handle1)...)...)
	f.Add(client, append(known, packet(201, 1, handle1, 1, "content")...), byte(3))
	f.Add(client, append(known, packet(201, 1, handle1, 1, []byte{0xff, 0xff, 0xff, 0xff})...), byte(9))
	f.Add(client, append(known, 0, 0, 0, 0, 1), byte(1))
	f.Add(client, append(known, packet(103, 1, strings.Repeat("x", 100))...), byte(1))
	f.Fuzz(func(t *testing.T, client, server []byte, step byte) {
		front := ahead.New(io.Discard, io.Discard, "", secret)
		defer front.Close()
		n := 1 + int(step)
		for len(client)+len(server) > 0 {
			k := min(n, len(client))
			must(t, front.FromClient(client[:k]))
			client = client[k:]
			k = min(n, len(server))
			must(t, front.FromServer(server[:k]))
			server = server[k:]
		}
		must(t, front.End())
	})
}
