package log

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/podbastion/podbastion/audit"
)

// end is where a log stands.
type end struct {
	size   int64
	seq    uint64
	prev   string
	repair *audit.Event // what was moved aside, if anything
}

// window is how far back a crash can have left anything but whole, chained lines: one batch that was not yet durable,
// and the line before it.
const window = maxBatch + 2*maxLine

// recoverEnd finds the last good line. What follows it, half a line or blocks that the file system never filled, is
// copied into a file beside the log and then cut off.
func recoverEnd(f *os.File, path string, now time.Time) (end, error) {
	info, err := f.Stat()
	if err != nil {
		return end{}, fmt.Errorf("audit: cannot read log: %w", err)
	}
	from := max(0, info.Size()-window)
	tail, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return end{}, fmt.Errorf("audit: cannot read log: %w", err)
	}
	good, last, ok := lastGood(tail, from == 0)
	if !ok {
		return end{}, fmt.Errorf("audit: %s does not look like an audit log: its last %d bytes hold no event; move it away", path, len(tail))
	}
	e := end{size: from + int64(good), seq: last.seq, prev: last.sum}
	if rest := tail[good:]; len(rest) > 0 {
		aside, err := moveAside(f, path, e.size, rest, now)
		if err != nil {
			return end{}, fmt.Errorf("audit: cannot repair %s: %w", path, err)
		}
		n, sum := int64(len(rest)), sha256.Sum256(rest)
		e.repair = &audit.Event{Type: audit.LogRepair, Path: aside, Bytes: &n, SHA256: hex.EncodeToString(sum[:]),
			Reason: "unfinished end of the log was moved aside"}
		bound(e.repair)
	}
	return e, nil
}

type lastLine struct {
	seq uint64
	sum string
}

// lastGood returns how many bytes of the tail are whole lines, each chained to the one before. When the tail is not
// the whole file it begins somewhere within a line. It is not ok when there are bytes of which none is good and that
// are not just a first line that was never finished.
func lastGood(tail []byte, whole bool) (good int, last lastLine, ok bool) {
	rest, seen := tail, false
	if !whole {
		i := bytes.IndexByte(tail, '\n')
		if i < 0 {
			return 0, last, false
		}
		good, rest = i+1, tail[i+1:]
	}
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		var e struct {
			V    int    `json:"v"`
			Seq  uint64 `json:"seq"`
			Prev string `json:"prev"`
		}
		first := !seen && !whole // its predecessor is out of sight
		if json.Unmarshal(rest[:i], &e) != nil || e.V != 1 || !first && (e.Prev != last.sum || e.Seq != last.seq+1) {
			return good, last, seen
		}
		last, seen = lastLine{seq: e.Seq, sum: lineSum(rest[:i])}, true
		good, rest = good+i+1, rest[i+1:]
	}
	return good, last, seen || whole && neverFinished(rest)
}

// neverFinished says whether a file without a whole line can be what is left of the first write to a log.
func neverFinished(rest []byte) bool {
	begin := []byte(`{"v":1,"seq":1,`)
	n := min(len(rest), len(begin))
	return bytes.Equal(rest[:n], begin[:n]) || len(bytes.Trim(rest, "\x00")) == 0
}

// moveAside keeps the bytes in a file of their own, durably, before they are cut off the log.
func moveAside(f *os.File, path string, size int64, rest []byte, now time.Time) (string, error) {
	aside := fmt.Sprintf("%s.unfinished-%s", path, now.UTC().Format("20060102T150405.000000000Z"))
	out, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = out.Write(rest)
	if err = errors.Join(err, out.Sync(), out.Close(), syncDirectory(filepath.Dir(path))); err != nil {
		return "", err
	}
	if err := f.Truncate(size); err != nil {
		return "", err
	}
	return aside, f.Sync()
}
