// Package journal keeps a small state over restarts: a file of changes, one a line, that is written anew when it has
// grown. What was appended outlives the program's sudden end at once, and the machine's after Sync. It knows nothing of
// what the lines mean, and of two programs on one file.
package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	maxLine = 4 << 10
	small   = 256 << 10 // a file up to this is never written anew
)

// Journal is an open file. It is for one goroutine at a time.
type Journal struct {
	path string
	file *os.File
	size int64
	base int64 // size when it was last written anew
}

// Open reads what is there, the oldest line first, and opens the file for more. A half line at the end, as a crash
// leaves it, is cut off.
func Open(path string, each func(line string)) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{path: path, file: f}
	if err := j.read(each); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *Journal) read(each func(line string)) error {
	in := bufio.NewReaderSize(j.file, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			j.base = j.size
			return j.cut()
		case errors.Is(err, bufio.ErrBufferFull): // nothing that was written here
			j.size += int64(len(line))
			continue
		case err != nil:
			return fmt.Errorf("journal: %w", err)
		}
		j.size += int64(len(line))
		each(string(bytes.TrimSuffix(line, []byte("\n"))))
	}
}

// cut takes away what stands behind the last whole line.
func (j *Journal) cut() error {
	if err := j.file.Truncate(j.size); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err := j.file.Seek(j.size, io.SeekStart); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Append writes lines, each with its end, all or none of them.
func (j *Journal) Append(lines []byte) error {
	n, err := j.file.Write(lines)
	if err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), j.cut())
	}
	j.size += int64(n)
	return nil
}

// Sync has what was appended on the disk.
func (j *Journal) Sync() error {
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Grown tells that the file is worth writing anew: it is twice what it was then.
func (j *Journal) Grown() bool { return j.size > small && j.size > 2*j.base }

// Rewrite puts a new file in the place of the old one, at once, with the lines that write gives.
func (j *Journal) Rewrite(write func(w *bufio.Writer)) (err error) {
	f, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal: %w", errors.Join(err, f.Close(), os.Remove(f.Name())))
			j.base = j.size // not again with the next line
		}
	}()
	w := bufio.NewWriter(f)
	write(w)
	if err := errors.Join(w.Flush(), f.Sync()); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), j.path); err != nil {
		return err
	}
	_ = j.file.Close() // of a file without a name
	j.file, j.size, j.base = f, size, size
	return nil
}

// Close closes the file. What was appended is in it.
func (j *Journal) Close() error { return j.file.Close() }
