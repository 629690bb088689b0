package cast

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Whatever the bytes and however they are cut, the recording shows what one conversion of the whole would show.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("a漢\xf0\x9f\x98\x80\xff\x1b[m"), uint8(1))
	f.Add([]byte("\xf0\x9f\xf0\x9f\x98"), uint8(2))
	path := filepath.Join(f.TempDir(), "s.cast")
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		r, err := Create(path, Header{})
		must(t, err)
		for rest := data; len(rest) > 0; {
			n := min(int(size)%7+1, len(rest))
			must(t, r.Output(rest[:n]))
			rest = rest[n:]
		}
		sum, err := r.Close()
		must(t, err)
		_, events := play(t, path)
		if got, want := shown(events), string([]rune(string(data))); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		file, err := os.ReadFile(path)
		must(t, err)
		if sum.Bytes != int64(len(file)) || sum.SHA256 != hexSum(file) {
			t.Fatal("the summary is of another file")
		}
		must(t, os.Remove(path))
	})
}

func BenchmarkOutput(b *testing.B) {
	text := make([]byte, 0, 32<<10)
	for len(text) < 32<<10-200 {
		text = append(text, "drwxr-xr-x 2 root root 4096 Jun  1 12:00 \x1b[01;34mconf.d\x1b[0m\r\n"...)
	}
	binary := make([]byte, 32<<10)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for name, p := range map[string][]byte{"text": text, "binary": binary, "keystroke": []byte("l")} {
		b.Run(name, func(b *testing.B) {
			r, err := Create(filepath.Join(b.TempDir(), "s.cast"), Header{})
			must(b, err)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				must(b, r.Output(p))
			}
			_, err = r.Close()
			must(b, err)
		})
	}
}
