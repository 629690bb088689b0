package sshd

import (
	"encoding/binary"
	"strings"
	"testing"
)

func TestOldMACs(t *testing.T) {
	for client, want := range map[string]bool{
		"SSH-2.0-libssh2_1.10.0": true, "SSH-2.0-libssh2_1.9.0_DEV": true, "SSH-2.0-libssh2_1.11.0": false, "SSH-2.0-libssh2_1.100": false,
		"SSH-2.0-OpenSSH_9.2p1 Debian-2": false, "SSH-2.0-Go": false, "": false, "SSH-2.0-libssh2_1.": false,
	} {
		if got := needsOldMACs(client); got != want {
			t.Errorf("%q: %v", client, got)
		}
	}
}

// hello is a key exchange's first packet with these lists.
func hello(lists ...string) []byte {
	body := append([]byte{4, 20}, "sixteen bytes..."...)
	for _, l := range lists {
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(l))), l...)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestOffered(t *testing.T) {
	good := hello("kex", "key", "one,two", "back")
	for name, c := range map[string]struct {
		p     []byte
		want  string
		whole bool
	}{
		"all":            {good, "one,two", true},
		"more behind":    {append(good[:len(good):len(good)], "more"...), "one,two", true},
		"empty list":     {hello("kex", "key", "", "back"), "", true},
		"another packet": {append([]byte{0, 0, 0, 60, 4, 21}, make([]byte, 60)...), "", true},
		"too large":      {[]byte{0xff, 0xff, 0xff, 0xff, 4, 20}, "", true},
		"lists too long": {append([]byte{0, 0, 0, 30, 4, 20}, []byte("sixteen bytes...\xff\xff\xff\xff........")...), "", true},
		"nothing":        {nil, "", false},
		"two lists":      {hello("kex", "key"), "", true},
	} {
		got, whole := offered(c.p)
		if strings.Join(got, ",") != c.want || whole != c.whole {
			t.Errorf("%s: %q, %v", name, got, whole)
		}
	}
	for n := range len(good) {
		if got, whole := offered(good[:n]); got != nil || whole {
			t.Errorf("of %d bytes: %q, %v", n, got, whole)
		}
	}
}

func FuzzOffered(f *testing.F) {
	f.Add(hello("kex", "key", "one,two", "back"))
	f.Add([]byte("\x00\x00\x00\x01\x04\x14"))
	f.Fuzz(func(t *testing.T, p []byte) {
		got, whole := offered(p)
		for _, name := range got {
			if !whole || !strings.Contains(string(p), name) {
				t.Errorf("%q of %q, %v", name, p, whole)
			}
		}
	})
}
