package spdy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/moby/spdystream"
	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/bastion/bridge/spdy"
)

// pair is a connection of ours with the library that the agent's server is made of at the other end.
func pair(t testing.TB, handle spdystream.StreamHandler) *spdy.Conn {
	near, far := net.Pipe()
	server, err := spdystream.NewConnection(far, true)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(handle)
	c := spdy.New(near, bufio.NewReader(near))
	done := make(chan error, 1)
	go func() { done <- c.Serve() }()
	t.Cleanup(func() {
		c.Close()
		<-done //nolint:errcheck // whoever reads a stream is told
		_ = far.Close()
	})
	return c
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"))
}

func TestHeadersReachThePeer(t *testing.T) {
	var mu sync.Mutex
	var got []http.Header
	c := pair(t, func(s *spdystream.Stream) {
		mu.Lock()
		got = append(got, s.Headers())
		mu.Unlock()
		_ = s.SendReply(http.Header{}, false)
		_ = s.Close()
	})
	for range 3 { // the compression's state goes on over frames
		streams, err := c.Open(map[string]string{"streamtype": "stdin", "port": "80"}, map[string]string{"streamtype": "error"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range streams {
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatalf("the peer's end reads as %v", err)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	kinds := map[string]int{}
	for _, h := range got {
		kinds[h.Get("streamType")+h.Get("port")]++
	}
	if kinds["stdin80"] != 3 || kinds["error"] != 3 {
		t.Errorf("%v", kinds)
	}
}

func TestEchoOfManySizes(t *testing.T) {
	c := pair(t, func(s *spdystream.Stream) {
		_ = s.SendReply(http.Header{}, false)
		go func() {
			_, _ = io.CopyBuffer(struct{ io.Writer }{s}, s, make([]byte, 50_000))
			_ = s.Close()
		}()
	})
	streams, err := c.Open(map[string]string{"a": "b"}, map[string]string{"a": "c"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, s := range streams {
		random := rand.New(rand.NewPCG(7, uint64(i))) // #nosec G404 -- a test's
		data := make([]byte, 3<<20)
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		wg.Go(func() {
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(100_000))
				if _, err := s.Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			var got bytes.Buffer
			buf := make([]byte, 7001)
			if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{s}, buf); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(got.Bytes(), data) {
				t.Errorf("%d of %d bytes came back, or others", got.Len(), len(data))
			}
		})
	}
	wg.Wait()
}

// What comes on one of two streams is read before what comes on the other behind it, whoever reads them.
func TestInOrder(t *testing.T) {
	var mu sync.Mutex
	var theirs []*spdystream.Stream
	both := make(chan struct{})
	c := pair(t, func(s *spdystream.Stream) {
		_ = s.SendReply(http.Header{}, false)
		mu.Lock()
		defer mu.Unlock()
		if theirs = append(theirs, s); len(theirs) == 2 {
			close(both)
		}
	})
	streams, err := c.Open(map[string]string{"a": "b"}, map[string]string{"a": "c"})
	if err != nil {
		t.Fatal(err)
	}
	spdy.InOrder(streams[0], streams[1])
	<-both
	var want, got []byte
	var readers sync.WaitGroup
	for _, s := range streams {
		readers.Go(func() {
			p := make([]byte, 100)
			for {
				n, err := s.Read(p)
				if err != nil {
					return
				}
				runtime.Gosched() // so that the other may come first
				mu.Lock()
				got = append(got, p[:n]...)
				mu.Unlock()
			}
		})
	}
	random := rand.New(rand.NewPCG(8, 9)) // #nosec G404 -- a test's
	for i := range 2000 {
		p := bytes.Repeat([]byte{byte(i)}, 1+random.IntN(300))
		want = append(want, p...)
		if _, err := theirs[random.IntN(2)].Write(p); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range theirs {
		_ = s.Close()
	}
	readers.Wait()
	if !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes were read, or in another order", len(got), len(want))
	}
}

func TestEndsAreToldApart(t *testing.T) {
	kind := make(chan string, 1)
	var server *spdystream.Connection
	var peer net.Conn
	near, far := net.Pipe()
	peer = far
	server, err := spdystream.NewConnection(far, true)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(func(s *spdystream.Stream) {
		_ = s.SendReply(http.Header{}, false)
		_, _ = s.Write([]byte("data"))
		switch <-kind {
		case "fin":
			_ = s.Close()
		case "reset":
			_ = s.Reset()
		case "cut":
			_ = peer.Close()
		}
	})
	c := spdy.New(near, bufio.NewReader(near))
	done := make(chan error, 1)
	go func() { done <- c.Serve() }()
	for _, tc := range []struct {
		kind string
		want error
	}{{"fin", nil}, {"reset", spdy.ErrReset}, {"cut", spdy.ErrEnded}} {
		streams, err := c.Open(map[string]string{"a": "b"})
		if err != nil {
			t.Fatal(err)
		}
		kind <- tc.kind
		got, err := io.ReadAll(streams[0])
		if string(got) != "data" || !errors.Is(err, tc.want) {
			t.Errorf("%s: %q, %v", tc.kind, got, err)
		}
	}
	if err := <-done; !errors.Is(err, spdy.ErrEnded) {
		t.Errorf("Serve: %v", err)
	}
	if _, err := c.Open(map[string]string{"a": "b"}); !errors.Is(err, spdy.ErrEnded) {
		t.Errorf("Open: %v", err)
	}
}

// What nobody wants holds nothing back.
func TestDiscard(t *testing.T) {
	c := pair(t, func(s *spdystream.Stream) {
		_ = s.SendReply(http.Header{}, false)
		go func() {
			if s.Headers().Get("kind") == "flood" {
				_, _ = s.Write(make([]byte, 5<<20))
			}
			_ = s.Close()
		}()
	})
	streams, err := c.Open(map[string]string{"kind": "flood"})
	if err != nil {
		t.Fatal(err)
	}
	streams[0].Discard()
	other, err := c.Open(map[string]string{"kind": "other"})
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { _, err := io.ReadAll(other[0]); end <- err }()
	select {
	case err := <-end:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the discarded stream holds the other back")
	}
}

// script is a transport that gives what the fuzzer says and takes all.
type script struct{ io.Reader }

func (script) Write(p []byte) (int, error) { return len(p), nil }
func (script) Close() error                { return nil }

// FuzzServe: whatever a peer sends, receiving ends with the bytes, and no more is held than one stream's bound each.
func FuzzServe(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 1, 0, 0, 2, 'h', 'i'})
	f.Add([]byte{0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 5})
	f.Add([]byte{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2})
	f.Add([]byte{0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x80, 3, 0, 2, 0, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		rw := script{bytes.NewReader(data)}
		c := spdy.New(rw, bufio.NewReaderSize(rw, 16))
		streams, err := c.Open(map[string]string{"a": "b"}, map[string]string{"a": "c"})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		total := make([]int64, len(streams))
		for i, s := range streams {
			wg.Go(func() { total[i], _ = io.Copy(io.Discard, s) })
		}
		if c.Serve() == nil {
			t.Error("Serve ended without a reason")
		}
		wg.Wait()
		if total[0]+total[1] > int64(len(data)) {
			t.Errorf("more was read than sent")
		}
	})
}
