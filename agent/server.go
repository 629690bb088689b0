// Package agent is the daemon on each node that executes in containers on the bastion's word: a listener with mutual
// TLS, shaped like the kubelet's (remotecommand and port-forward from k8s.io/cri-streaming), with a small REST surface
// beside it. Every request carries a grant; one that does not verify is refused and remembered.
//
//	POST   /exec/{namespace}/{pod}/{container}?command=…&env=…&input=1&output=1&error=1&tty=1&rows=…&columns=…
//	POST   /portForward/{namespace}/{pod}
//	POST   /files/{namespace}/{pod}/{container}
//	GET    /v1/facts/{namespace}/{pod}/{container}
//	POST   /v1/sessions/{session}/signal   {"signal":"TERM"}
//	GET    /v1/sessions/{session}/terminal
//	DELETE /v1/sessions/{session}
//	GET    /v1/stat/{namespace}/{pod}/{container}?path=…
package agent

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/agent/facts"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth/grant"
)

// Limits of what a peer can make the agent hold.
const (
	maxHeader     = 1 << 20 // the command stands in the URL; Linux takes 128 KiB an argument, escaped thrice that
	maxBody       = 4 << 10
	streamTimeout = 5 * time.Second  // for the streams of one request to be opened
	killTimeout   = 10 * time.Second // for a session's processes to end
)

// Options composes a Server.
type Options struct {
	Node    string
	Cluster string
	Runtime runtime.Runtime
	Files   Files // may be nil: none are served
	Grants  *grant.Verifier
	Audit   audit.Sink // refused grants
	Log     logrus.FieldLogger
	Metrics *Metrics
	// Reap is told of every session's first process, and its result is called once nothing of it is left. It outlives
	// the agent. May be nil.
	Reap           func(session string, root proc.ID) (done func())
	MaxConnections int
	Drain          time.Duration
}

// Server answers the bastion. Make one with New.
type Server struct {
	o       Options
	watcher *watcher

	mu       sync.Mutex // guards all below
	sessions map[string]*session
	forwards map[int]context.CancelFunc
	last     int // key of forwards
	draining bool
	wg       sync.WaitGroup // executions and forwards
}

// session is one live execution.
type session struct {
	id, account string
	ctx         context.Context // ends with the session; a request's own tells nothing once it is upgraded
	cancel      context.CancelCauseFunc
	started     chan struct{} // closed when root is known
	root        proc.ID       // its first process; set before started is closed

	once sync.Once
	over chan struct{} // closed when no process of it is left that has to end
}

func newSession(g grant.Grant) *session {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &session{id: g.Session, account: g.Account, ctx: ctx, cancel: cancel, started: make(chan struct{}), over: make(chan struct{})}
}

func (s *session) start(root proc.ID) {
	s.root = root
	close(s.started)
}

func (s *session) end() { s.once.Do(func() { close(s.over) }) }

// New composes a server.
func New(o Options) *Server {
	if o.Reap == nil {
		o.Reap = func(string, proc.ID) func() { return func() {} }
	}
	return &Server{o: o, watcher: newWatcher(), sessions: map[string]*session{}, forwards: map[int]context.CancelFunc{}}
}

// Serve answers on ln until ctx ends; then it takes nothing new, gives live sessions the time of Options.Drain, ends
// what is left, and returns.
func (s *Server) Serve(ctx context.Context, ln net.Listener, conf *tls.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errorLog := s.o.Log.WithField("part", "listener")
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", s.exec)
	mux.HandleFunc("/portForward/{namespace}/{pod}", s.forward)
	mux.HandleFunc("/files/{namespace}/{pod}/{container}", s.files)
	mux.HandleFunc("GET /v1/facts/{namespace}/{pod}/{container}", s.facts)
	mux.HandleFunc("POST /v1/sessions/{session}/signal", s.signal)
	mux.HandleFunc("GET /v1/sessions/{session}/terminal", s.terminal)
	mux.HandleFunc("DELETE /v1/sessions/{session}", s.end)
	mux.HandleFunc("GET /v1/stat/{namespace}/{pod}/{container}", s.stat)
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		ErrorLog: stdlog.New(lineWriter{errorLog}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				if w, ok := t.NetConn().(*watched); ok {
					return context.WithValue(ctx, connKey{}, w)
				}
			}
			return ctx
		},
	}
	var background sync.WaitGroup
	background.Go(func() { s.watcher.run(ctx) })
	background.Go(func() {
		<-ctx.Done()
		s.drain()
		_ = srv.Close()
	})
	err := srv.Serve(tls.NewListener(s.watcher.listen(ln, s.o.MaxConnections), conf))
	cancel()
	background.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("agent: %w", err)
}

// drain waits for live sessions, then ends them.
func (s *Server) drain() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
		return
	case <-time.After(s.o.Drain):
	}
	s.mu.Lock()
	for _, live := range s.sessions {
		live.cancel(errors.New("the agent is being stopped"))
	}
	for _, cancel := range s.forwards {
		cancel()
	}
	s.mu.Unlock()
	<-done
}

// enter registers a forwarded connection, so that it can be ended.
func (s *Server) enter(cancel context.CancelFunc) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, errStopping
	}
	s.last++
	key := s.last
	s.forwards[key] = cancel
	s.wg.Add(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.forwards, key)
		s.wg.Done()
	}, nil
}

var errStopping = errors.New("agent: it is being stopped")

type connKey struct{}

// name is what Kubernetes lets namespaces, pods and containers be called (RFC 1123 subdomains; nothing else may be
// made of a path's parts).
var name = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// authorise checks the grant of a request; when it is refused the answer is written already.
func (s *Server) authorise(w http.ResponseWriter, r *http.Request, want grant.Want) (grant.Grant, bool) {
	want.Node, want.Cluster = s.o.Node, s.o.Cluster
	for _, part := range []string{want.Namespace, want.Pod, want.Container} {
		if part != "" && (!name.MatchString(part) || strings.Contains(part, "..")) {
			s.refuse(w, r, want, grant.Grant{}, errors.New("agent: not a name"))
			return grant.Grant{}, false
		}
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		s.refuse(w, r, want, grant.Grant{}, errors.New("agent: no grant"))
		return grant.Grant{}, false
	}
	g, err := s.o.Grants.Verify(token, want)
	if err != nil {
		s.refuse(w, r, want, g, err)
		return grant.Grant{}, false
	}
	return g, true
}

// container finds what a verified grant is for, and holds it to the pod's UID.
func (s *Server) container(w http.ResponseWriter, r *http.Request, want grant.Want, g grant.Grant) (runtime.Container, bool) {
	c, ok := s.o.Runtime.Find(runtime.Key{Namespace: g.Namespace, Pod: g.Pod, Container: g.Container})
	if !ok {
		http.Error(w, "agent: the container does not run on this node", http.StatusNotFound)
		return c, false
	}
	if c.UID != g.UID {
		s.refuse(w, r, want, g, grant.ErrWrongUID)
		return c, false
	}
	return c, true
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, want grant.Want, g grant.Grant, reason error) {
	http.Error(w, "agent: refused", http.StatusForbidden)
	s.o.Metrics.refused.Inc()
	s.o.Log.WithFields(logrus.Fields{"source": r.RemoteAddr, "path": r.URL.Path, "reason": reason.Error()}).Warn("grant refused")
	err := s.o.Audit.Append(r.Context(), audit.Event{
		Type: audit.GrantReject, Session: g.Session, Account: g.Account, Source: r.RemoteAddr, Kind: string(want.Kind), Reason: reason.Error(),
		Target: &audit.Target{Cluster: want.Cluster, Namespace: want.Namespace, Pod: want.Pod, UID: g.UID, Container: want.Container, Node: want.Node},
	})
	if err != nil {
		s.o.Log.WithError(err).Error("a refused grant could not be remembered")
	}
}

func (s *Server) facts(w http.ResponseWriter, r *http.Request) {
	want := grant.Want{
		Kind: grant.Facts, Namespace: r.PathValue("namespace"), Pod: r.PathValue("pod"), Container: r.PathValue("container"),
	}
	g, ok := s.authorise(w, r, want)
	if !ok {
		return
	}
	c, ok := s.container(w, r, want, g)
	if !ok {
		return
	}
	f, err := facts.Read(c, g.User)
	switch {
	case errors.Is(err, runtime.ErrGone):
		http.Error(w, "agent: the container does not run on this node", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(f)
	}
}

// stat tells of a file in a container.
func (s *Server) stat(w http.ResponseWriter, r *http.Request) {
	want := grant.Want{
		Kind: grant.Facts, Namespace: r.PathValue("namespace"), Pod: r.PathValue("pod"), Container: r.PathValue("container"),
	}
	g, ok := s.authorise(w, r, want)
	if !ok {
		return
	}
	c, ok := s.container(w, r, want, g)
	if !ok {
		return
	}
	f, err := facts.Stat(c, r.URL.Query().Get("path"))
	switch {
	case errors.Is(err, runtime.ErrGone):
		http.Error(w, "agent: the container does not run on this node", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(f) // a peer that is gone needs no answer
	}
}

// live returns the session that a control request names.
func (s *Server) live(w http.ResponseWriter, r *http.Request) (*session, bool) {
	want := grant.Want{Kind: grant.Control, Session: r.PathValue("session")}
	if _, ok := s.authorise(w, r, want); !ok {
		return nil, false
	}
	s.mu.Lock()
	live, ok := s.sessions[want.Session]
	s.mu.Unlock()
	if !ok {
		http.Error(w, "agent: no such session", http.StatusNotFound)
	}
	return live, ok
}

// running is live, and waits until the session's process is known.
func (s *Server) running(w http.ResponseWriter, r *http.Request) (*session, bool) {
	live, ok := s.live(w, r)
	if !ok {
		return nil, false
	}
	select {
	case <-live.started:
		return live, true
	case <-live.over:
		http.Error(w, "agent: no such session", http.StatusNotFound)
	case <-r.Context().Done():
	}
	return nil, false
}

func (s *Server) signal(w http.ResponseWriter, r *http.Request) {
	live, ok := s.running(w, r)
	if !ok {
		return
	}
	var body struct {
		Signal string `json:"signal"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body); err != nil {
		http.Error(w, `agent: want {"signal":"TERM"}`, http.StatusBadRequest)
		return
	}
	sig, err := proc.SignalByName(body.Signal)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch err := proc.SignalGroup(live.root, sig); {
	case errors.Is(err, proc.ErrGone):
		http.Error(w, "agent: no such session", http.StatusNotFound) // it is over, and about to be forgotten
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// end ends a session's processes and answers once none is left.
func (s *Server) end(w http.ResponseWriter, r *http.Request) {
	live, ok := s.live(w, r)
	if !ok {
		return
	}
	live.cancel(errors.New("ended by the bastion"))
	select {
	case <-live.over:
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

// lineWriter turns the HTTP server's complaints into log entries.
type lineWriter struct{ log logrus.FieldLogger }

func (l lineWriter) Write(p []byte) (int, error) {
	l.log.Debug(strings.TrimSpace(string(p)))
	return len(p), nil
}
