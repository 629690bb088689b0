package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// pollInterval is how often Run looks at the file. A change counts once two looks in a row saw the same content, so
// that a file that is being written is not taken half.
const pollInterval = 500 * time.Millisecond

// Reload tells of one attempt to take a changed document: Err is nil when it is in force, else the old one stays.
type Reload struct {
	Path string
	Hash string // of the bytes that were read; empty when there were none
	Err  error
}

// Source hands out the newest good document of a file. Current is safe to call from anywhere at any time.
type Source struct {
	path    string
	log     func(Reload)
	current atomic.Pointer[Document]

	reload sync.Mutex // held while a document is taken and subscribers are told, so that they see changes in order

	mu          sync.Mutex // guards the fields below; taken after reload, never held during callbacks
	subscribers map[int]func(old, new *Document)
	next        int
}

// NewSource loads the file, which must be good. The callback, which may be nil, hears of every later attempt.
func NewSource(path string, log func(Reload)) (*Source, error) {
	if log == nil {
		log = func(Reload) {}
	}
	s := &Source{path: path, log: log, subscribers: make(map[int]func(old, new *Document))}
	data, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	doc, err := Load(path, data)
	if err != nil {
		return nil, err
	}
	s.current.Store(doc)
	return s, nil
}

// Fixed returns a source of one document that never changes; its Reload does nothing.
func Fixed(doc *Document) *Source {
	s := &Source{log: func(Reload) {}, subscribers: make(map[int]func(old, new *Document))}
	s.current.Store(doc)
	return s
}

// Current is the document in force; never nil.
func (s *Source) Current() *Document { return s.current.Load() }

// Subscribe calls f after each change, one change at a time and in order, from the goroutine that reloads: Run's, or
// the caller's of Reload. It must not call Reload. The returned function ends the subscription.
func (s *Source) Subscribe(f func(old, new *Document)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.next
	s.next++
	s.subscribers[id] = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subscribers, id)
	}
}

// Reload reads the file now, as on SIGHUP. On error the old document stays in force.
func (s *Source) Reload() error {
	if s.path == "" {
		return nil
	}
	data, err := readDocument(s.path)
	return s.take(data, err)
}

// take puts the document in force and tells subscribers and log.
func (s *Source) take(data []byte, err error) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	event := Reload{Path: s.path}
	var doc *Document
	if err == nil {
		event.Hash = hash(data)
		doc, err = Load(s.path, data)
	}
	if event.Err = err; err != nil {
		s.log(event)
		return err
	}
	old := s.current.Swap(doc)
	if old.Hash() == doc.Hash() {
		return nil
	}
	for _, f := range s.listeners() {
		f(old, doc)
	}
	s.log(event)
	return nil
}

// listeners in the order in which they subscribed.
func (s *Source) listeners() []func(old, new *Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []func(old, new *Document)
	for id := range s.next {
		if f, ok := s.subscribers[id]; ok {
			out = append(out, f)
		}
	}
	return out
}

// Run watches the file until the context ends. It compares content, so that it sees editors that replace the file and
// Kubernetes' swaps of symbolic links alike, whatever the times on them say.
func (s *Source) Run(ctx context.Context) error {
	if s.path == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	settled := s.Current().Hash() // the last content that was taken or refused
	last := settled
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		data, err := readDocument(s.path)
		seen := fmt.Sprint("unreadable: ", err)
		if err == nil {
			seen = hash(data)
		}
		if seen == last && seen != settled {
			settled = seen
			if seen != s.Current().Hash() {
				_ = s.take(data, err) // the log callback hears of an error
			}
		}
		last = seen
	}
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readDocument reads no more than a document may have, and only from a plain file: a pipe would never end.
func readDocument(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("auth: cannot read roles document: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("auth: cannot read roles document: %s is not a plain file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("auth: cannot read roles document: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxDocument+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("auth: cannot read roles document: %w", err)
	}
	return data, nil
}
