// Package sshd is the SSH front: the listener and its bounds, the algorithms, the authentication protocol, keepalives,
// and the channels, served wire-exact. Who may log in is judged by auth/verify behind an interface, and what a channel
// does is bastion/session's. It knows neither pods nor roles.
//
// gliderlabs/ssh drives the listener and each connection's life; four of its habits are worked around on purpose. It
// permits clients without any credential when none of its own handlers is set, so "none" is refused by a callback. It
// stores the key that a client merely offered, so its handlers are not used at all: the principal travels in the
// Permissions of the credential that won. It resets a connection's deadline at each read, so the connection underneath
// does not listen to that. Its session rewrites newlines, so the session channel is served here.
package sshd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	glider "github.com/gliderlabs/ssh"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/ssh"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/throttle"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/session"
)

// Keys judges public keys and certificates; *verify.Verifier is one.
type Keys interface {
	PublicKey(account auth.Account, key ssh.PublicKey, source netip.AddrPort) (*auth.Principal, error)
}

// Secrets judges what is typed; *verify.Verifier is one.
type Secrets interface {
	Password(ctx context.Context, account auth.Account, password string, source netip.AddrPort) (*auth.Principal, error)
	SecondFactor(account auth.Account) bool
	Code(account auth.Account, code string) error
}

// Sessions serves what clients open; *session.Service is one.
type Sessions interface {
	Serve(ctx context.Context, login session.Login, req session.Request, client session.Client) bridge.Exit
	Forward(ctx context.Context, login session.Login, to session.Endpoint, accept func() (session.Stream, error)) error
}

// Limits bounds what clients can take.
type Limits struct {
	LoginGrace         time.Duration
	MaxConnections     int
	MaxPerSource       int // from one IPv4 address or IPv6 /64
	MaxUnauthenticated int
	MaxChannels        int // on one connection
	KeepaliveInterval  time.Duration
	KeepaliveMisses    int
}

// Options composes a Server.
type Options struct {
	HostKeys  []ssh.Signer
	Keys      Keys
	Secrets   Secrets
	Passwords func() bool // whether any account has one, so that it is worth asking
	Throttle  *throttle.Throttle
	Sessions  Sessions
	Audit     audit.Sink
	Limits    Limits
	Banner    string
	Log       logrus.FieldLogger
	Metrics   *Metrics
}

// Server is the SSH front. Make one with New.
type Server struct {
	o      Options
	gate   *gate
	glider *glider.Server
	wg     sync.WaitGroup // channels
}

// New composes a server.
func New(o Options) *Server {
	s := &Server{o: o, gate: newGate(o.Limits, o.Throttle, o.Metrics)}
	s.glider = &glider.Server{
		ConnCallback:             s.accepted,
		ServerConfigCallback:     s.config,
		ConnectionFailedCallback: s.failed,
		ChannelHandlers: map[string]glider.ChannelHandler{
			"session":      s.channel(s.serveSession),
			"direct-tcpip": s.channel(s.serveForward),
			"default":      s.channel(s.rejectChannel),
		},
		RequestHandlers: map[string]glider.RequestHandler{"default": s.globalRequest},
	}
	for _, k := range o.HostKeys {
		s.glider.HostSigners = append(s.glider.HostSigners, k)
	}
	return s
}

// Serve answers on ln until ctx ends; then it takes no new connections and waits until those that are there have ended.
// Whoever wants them ended sooner ends their sessions, or calls Close.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	err := s.glider.Serve(s.gate.listen(ln))
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("sshd: %w", err)
}

const settleEvery = 10 * time.Millisecond

// Settle waits, for as long as most, until no channel is open: the last words of a session then have gone to its client.
func (s *Server) Settle(most time.Duration) {
	for deadline := time.Now().Add(most); s.gate.busy() && time.Now().Before(deadline); {
		time.Sleep(settleEvery)
	}
}

// Close ends all connections and waits for what served them.
func (s *Server) Close() {
	_ = s.glider.Close()
	s.gate.closeAll()
	s.gate.wait()
	s.wg.Wait()
}

// connKey is the context key of a connection's state.
type connKey struct{}

// accepted is called for each connection that the gate let in.
func (s *Server) accepted(ctx glider.Context, c net.Conn) net.Conn {
	conn, ok := c.(*conn)
	if !ok {
		return nil
	}
	client, err := conn.introduce()
	if err != nil {
		s.failed(conn, err)
		return nil // it is closed then
	}
	conn.client = client
	ctx.SetValue(connKey{}, conn)
	return conn
}

func stateOf(ctx glider.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// config is one connection's configuration. Its callbacks belong to that connection alone.
func (s *Server) config(ctx glider.Context) *ssh.ServerConfig {
	conn := stateOf(ctx)
	c := &ssh.ServerConfig{
		Config:                  algorithms(conn.client),
		PublicKeyAuthAlgorithms: publicKeyAlgorithms(),
		MaxAuthTries:            maxAuthTries,
		ServerVersion:           version,
	}
	if s.o.Banner != "" {
		c.BannerCallback = func(ssh.ConnMetadata) string { return s.o.Banner }
	}
	a := &authenticator{server: s, conn: conn, ctx: ctx}
	a.install(c)
	return c
}

// failed is called when a connection ended before it was logged in.
func (s *Server) failed(c net.Conn, err error) {
	s.o.Log.WithFields(logrus.Fields{"source": c.RemoteAddr().String(), "reason": printable(err.Error())}).Debug("no login")
}
