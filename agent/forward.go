package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	goruntime "runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/auth/grant"
)

const dialTimeout = 10 * time.Second

// forward serves port-forward: connections to ports inside the pod's network.
func (s *Server) forward(w http.ResponseWriter, r *http.Request) {
	want := grant.Want{Kind: grant.Forward, Namespace: r.PathValue("namespace"), Pod: r.PathValue("pod")}
	g, ok := s.authorise(w, r, want)
	if !ok {
		return
	}
	c, ok := s.o.Runtime.Network(g.Namespace, g.Pod)
	if !ok {
		http.Error(w, "agent: the pod does not run on this node", http.StatusNotFound)
		return
	}
	if c.UID != g.UID {
		s.refuse(w, r, want, g, grant.ErrWrongUID)
		return
	}
	opts, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, "agent: "+err.Error(), http.StatusBadRequest)
		return
	}
	conn, _ := r.Context().Value(connKey{}).(*watched)
	f := &forwarder{server: s, grant: g, container: c, conn: conn}
	if len(g.Ports) == 1 { // it can only be this one, and once the protocol has begun it is late to say that nobody listens
		first, err := dialIn(r.Context(), c, g.Ports[0])
		if err != nil {
			unconnected(w, err)
			return
		}
		f.first.Store(&first)
		defer func() {
			if c := f.first.Swap(nil); c != nil { // nobody asked for it
				_ = (*c).Close()
			}
		}()
	}
	if !wsstream.IsWebSocketRequest(r) {
		w = wholeFrames{w}
	}
	portforward.ServePortForward(w, r, f, g.Pod, g.UID, opts, 0, streamTimeout, portforward.SupportedProtocols)
}

// unconnected answers that a port cannot be reached, and why.
func unconnected(w http.ResponseWriter, err error) {
	if errors.Is(err, runtime.ErrGone) {
		http.Error(w, "agent: the pod does not run on this node", http.StatusNotFound)
		return
	}
	why := err.Error()
	var errno syscall.Errno
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		why = "no answer"
	case errors.As(err, &errno):
		why = errno.Error()
	}
	http.Error(w, why, http.StatusBadGateway)
}

// forwarder implements portforward.PortForwarder for one grant.
type forwarder struct {
	server    *Server
	grant     grant.Grant
	container runtime.Container // whose network is the pod's
	conn      *watched
	first     atomic.Pointer[net.Conn] // connected before the protocol began, until it is asked for
}

// dial connects to a port of the grant.
func (f *forwarder) dial(ctx context.Context, port uint16) (net.Conn, error) {
	if c := f.first.Swap(nil); c != nil {
		return *c, nil
	}
	return dialIn(ctx, f.container, port)
}

// PortForward copies both ways until both are done.
func (f *forwarder) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	if port < 1 || port > 65535 || !f.grant.AllowsPort(uint16(port)) {
		return fmt.Errorf("refused: port %d is not in the grant", port)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	leave, err := f.server.enter(cancel)
	if err != nil {
		return err
	}
	defer leave()
	defer f.server.watcher.add(f.conn, cancel)()
	c, err := f.dial(ctx, uint16(port))
	if err != nil {
		return fmt.Errorf("port %d: %w", port, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	f.server.o.Metrics.forwards.Inc()
	defer f.server.o.Metrics.forwards.Dec()
	var both sync.WaitGroup
	refused := false
	both.Go(func() {
		_, err := copyBuffer(f.server.o.Metrics.flow("in", c), stream, bufferSize)
		refused = err != nil
		if t, ok := c.(*net.TCPConn); ok && err == nil {
			_ = t.CloseWrite()
		} else {
			_ = c.Close()
		}
	})
	_, err = copyBuffer(f.server.o.Metrics.flow("out", stream), c, bufferSize)
	_ = stream.Close() // a half-close: what the client still sends goes on
	if err != nil {
		_ = c.Close()
	}
	both.Wait()
	if s, ok := stream.(interface{ Reset() error }); ok && refused {
		_ = s.Reset() // else the library would wait with what is on its way, and hear of nothing more
	}
	return nil
}

// dialIn connects to a port on the loopback of a container's network.
func dialIn(ctx context.Context, c runtime.Container, port uint16) (net.Conn, error) {
	network, err := c.OpenProc("ns/net", os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// The thread changes its network. When it cannot change back it is not unlocked, and ends with this goroutine.
		goruntime.LockOSThread()
		restore, err := enterNetwork(network)
		if err != nil {
			done <- result{nil, err}
			return
		}
		conn, err := dialLoopback(ctx, port)
		if restore() == nil {
			goruntime.UnlockOSThread()
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func dialLoopback(ctx context.Context, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	p := strconv.Itoa(int(port))
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", p))
	if err != nil {
		var err6 error
		if conn, err6 = d.DialContext(ctx, "tcp", net.JoinHostPort("::1", p)); err6 != nil {
			return nil, err
		}
	}
	return conn, nil
}

// enterNetwork moves the calling thread into a network namespace (setns(2)).
func enterNetwork(theirs *os.File) (restore func() error, err error) {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	a, errA := theirs.Stat()
	b, errB := own.Stat()
	if errA == nil && errB == nil && os.SameFile(a, b) {
		return own.Close, nil // the same network: no right is needed to stay
	}
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, errors.Join(fmt.Errorf("agent: entering the pod's network: %w", err), own.Close())
	}
	return func() error {
		return errors.Join(unix.Setns(int(own.Fd()), unix.CLONE_NEWNET), own.Close())
	}, nil
}
