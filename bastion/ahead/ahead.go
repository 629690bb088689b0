// Package ahead answers some of an SFTP client's requests before an agent does, and makes one request of several, so
// that a small file costs one way to its pod and not three or four. It stands between a client and a server that
// answers in the order in which it is asked (agent/files/sftp), and knows the requests of package filewire.
//
// What is answered here stands for what the server would have said: a file's bytes were read when it was opened, and are
// given to whoever reads it next, if nothing else was asked for meanwhile. Or it is a promise: that a file can be written
// as those beside it, which its close says if it is not kept. Only a client that is known to tell its user of a close that
// fails is promised anything. Whatever is not understood passes as it is.
package ahead

import (
	"io"
	"sync"
	"time"
)

// Front is one session's. FromClient and FromServer may be called concurrently, each by one goroutine.
type Front struct {
	toServer, toClient io.Writer

	// Whoever writes takes one of these before it leaves mu, so that what was decided first is written first.
	server, client sync.Mutex

	version string // of the client's SSH
	secret  string // behind the names of requests that are made here

	mu    sync.Mutex // guards all below
	begun bool       // the client's first packet was an INIT
	heeds heed       // what the client does with an answer to a close
	on    bool       // the server knows the requests that are needed here
	blind bool       // one side makes no sense: bytes pass

	asked, said cutter
	waiting     []answer // to come from the server, in order
	owed        int      // of those, what the client waits for

	kept []*file // read ahead

	held    *draft // a file that the client writes, and the server does not know of
	last    uint64 // handle of one
	dir     string // where the client wrote last
	good    int    // so many opens there went well in a row
	refused bool   // something that was promised failed

	late  []byte    // requests that wait for the next one to go with it
	since time.Time // when the first of them, or what is held, was put there
	timer *time.Timer
	armed bool
	over  bool
}

// Bounds.
const (
	maxPacket = 256 << 10 // the server's own: what is larger ends the session
	maxWhole  = 8 << 10   // of a request that is looked at as a whole
	maxKept   = 16        // files read ahead at once
	maxAhead  = 32 << 10  // bytes of each, and of one that is written
	maxOwed   = 64        // answers that are more than to be passed on

	enough = 4 // files that were written in a folder before the next one's opening is promised

	fresh   = time.Second           // what was read ahead is of no use later
	holding = 20 * time.Millisecond // the longest that anything waits here
)

// New makes one. A Write to either side sends all or fails, for good. version is what the client says of its SSH;
// secret makes the requests that the server takes from here alone.
func New(toServer, toClient io.Writer, version, secret string) *Front {
	f := &Front{toServer: toServer, toClient: toClient, version: version, secret: secret}
	f.timer = time.AfterFunc(time.Hour, f.tick)
	f.timer.Stop()
	return f
}

// FromClient takes some of the client's bytes.
func (f *Front) FromClient(p []byte) error {
	f.mu.Lock()
	var server, client batch
	for len(p) > 0 {
		p = f.request(p, &server, &client)
	}
	return f.write(server, client)
}

// FromServer takes some of the server's.
func (f *Front) FromServer(p []byte) error {
	f.mu.Lock()
	var client batch
	for len(p) > 0 {
		p = f.answer(p, &client)
	}
	return f.write(nil, client)
}

// End sends what waits here: no more comes from the client.
func (f *Front) End() error {
	f.mu.Lock()
	var server batch
	if f.asked.left == 0 {
		f.release()
		if f.on {
			f.forgetAll()
		}
	}
	server.add(f.takeLate())
	server.add(f.asked.drain())
	return f.write(server, nil)
}

// Close sends nothing more of its own accord.
func (f *Front) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.timer.Stop()
}

// write leaves mu. Answers go first: nothing can be answered out of turn, as only who owes none answers here.
func (f *Front) write(server, client batch) error {
	if len(server) > 0 {
		f.server.Lock()
		defer f.server.Unlock()
	}
	if len(client) > 0 {
		f.client.Lock()
	}
	f.mu.Unlock()
	if len(client) > 0 {
		err := client.write(f.toClient)
		f.client.Unlock()
		if err != nil {
			return err
		}
	}
	return server.write(f.toServer)
}

// delay has something wait for the next request, but not for long.
func (f *Front) delay(packet []byte) {
	f.wait()
	f.late = append(f.late, packet...)
}

func (f *Front) wait() {
	if len(f.late) == 0 && f.held == nil {
		f.since = time.Now()
	}
	f.arm(holding)
}

func (f *Front) arm(d time.Duration) {
	if !f.armed && !f.over {
		f.armed = true
		f.timer.Reset(d)
	}
}

func (f *Front) takeLate() []byte {
	p := f.late
	f.late = nil
	return p
}

// tick sends what has waited for long enough. Only what was written before can hold it up, and that may take its time.
func (f *Front) tick() {
	f.mu.Lock()
	f.armed = false
	left := holding - time.Since(f.since)
	switch {
	case f.over || len(f.late) == 0 && f.held == nil:
	case left > 0:
		f.arm(left)
	case !f.server.TryLock():
		f.arm(holding)
	default:
		f.release()
		p := f.takeLate()
		f.mu.Unlock()
		_, _ = f.toServer.Write(p) // the next write fails, too
		f.server.Unlock()
		return
	}
	f.mu.Unlock()
}
