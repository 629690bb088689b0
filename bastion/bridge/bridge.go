// Package bridge is the bastion's client of the agents: it asks for facts, executes, forwards and watches terminals on
// the node that a target lives on. Every request goes over mutual TLS to an agent that proves its node's name, and
// carries a grant that was signed for it alone. What accounts may do is decided before; the bridge knows no roles.
package bridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/podbastion/podbastion/auth/grant"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/tcp"
)

const (
	dialTimeout    = 5 * time.Second
	answerTimeout  = 30 * time.Second // until an agent answers a request's headers
	controlTimeout = 5 * time.Second
	closeTimeout   = 15 * time.Second // an agent takes up to 10 s to end what does not want to
	maxAnswer      = 1 << 20
	maxNodes       = 16 << 10
)

// Reasons why an agent was not used. Errors wrap at most one of them.
var (
	ErrUnreachable = errors.New("bridge: the node's agent cannot be reached")
	ErrRefused     = errors.New("bridge: the agent refused the grant")
	ErrGone        = errors.New("bridge: the container does not run there any more")
	ErrNoUser      = errors.New("bridge: the container has no such user")
)

// LostError tells that an execution's end is not known, because the way to it was lost. It is never an exit status.
type LostError struct{ Reason string }

func (e *LostError) Error() string { return "bridge: lost: " + e.Reason }

// PortError says why a port of the pod cannot be reached, in the agent's words.
type PortError struct{ Reason string }

func (e *PortError) Error() string {
	return fmt.Sprintf("bridge: the port cannot be reached: %q", e.Reason)
}

// Options composes a Bridge.
type Options struct {
	TLS    *tls.Config // as pki.Bastion makes it; the server's name is set for each node
	Signer *grant.Signer
	Port   uint16 // of agents
	// Addresses maps a node's name to host:port, where the target's node address with Port is not the way.
	Addresses map[string]string
}

// Bridge talks to agents. It is safe for concurrent use.
type Bridge struct {
	o     Options
	watch watch

	mu    sync.Mutex // guards nodes
	nodes map[nodeKey]*node
}

type nodeKey struct {
	name target.Node
	addr string
}

// node is one agent: its connections are kept, and used again for whatever is asked next.
type node struct {
	nodeKey
	client *http.Client
}

// New composes a bridge. Close ends its idle connections.
func New(o Options) *Bridge { return &Bridge{o: o, nodes: map[nodeKey]*node{}} }

// Close ends connections that nothing uses. Executions go on.
func (b *Bridge) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, n := range b.nodes {
		n.client.CloseIdleConnections()
		delete(b.nodes, k)
	}
}

// node finds the agent of a target.
func (b *Bridge) node(t target.Target) (*node, error) {
	if t.Node == "" {
		return nil, fmt.Errorf("%w: the pod has no node", ErrGone)
	}
	addr := b.o.Addresses[string(t.Node)]
	if addr == "" {
		if t.NodeAddress == "" {
			return nil, fmt.Errorf("%w: node %q has no address", ErrUnreachable, t.Node)
		}
		addr = net.JoinHostPort(t.NodeAddress, strconv.Itoa(int(b.o.Port)))
	}
	key := nodeKey{t.Node, addr}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.nodes[key]; n != nil {
		return n, nil
	}
	for k, old := range b.nodes { // nodes come and go over the years
		if len(b.nodes) < maxNodes {
			break
		}
		old.client.CloseIdleConnections()
		delete(b.nodes, k)
	}
	n := &node{nodeKey: key, client: b.client(key)}
	b.nodes[key] = n
	return n, nil
}

func (b *Bridge) client(key nodeKey) *http.Client {
	conf := b.o.TLS.Clone() // shares the cache of TLS sessions, whose key is the server's name
	conf.ServerName = string(key.name)
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAliveConfig: tcp.Keepalive()}
	return &http.Client{
		Transport: &http.Transport{
			DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				c, err := dialer.DialContext(ctx, "tcp", key.addr)
				if err != nil {
					return nil, err
				}
				t := tls.Client(tcp.NewBulk(c), conf)
				if err := t.HandshakeContext(ctx); err != nil {
					_ = c.Close()
					return nil, err
				}
				return t, nil
			},
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 60 * time.Second, // less than the agent's, which is two minutes
			ResponseHeaderTimeout: answerTimeout, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
			ForceAttemptHTTP2: false,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // grants go nowhere else
	}
}

// grantFor starts a grant for a target.
func grantFor(kind grant.Kind, session, account string, t target.Target) grant.Grant {
	return grant.Grant{
		Kind: kind, Session: session, Account: account, Cluster: string(t.Cluster), Namespace: string(t.Namespace),
		Pod: t.Pod, UID: string(t.UID), Container: t.Container, Node: string(t.Node),
	}
}

// request makes a request with a grant of its own.
func (b *Bridge) request(ctx context.Context, n *node, method, path string, g grant.Grant, body []byte) (*http.Request, error) {
	token, err := b.o.Signer.Sign(g)
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+n.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return req, nil
}

// ask sends a request and returns the answer's body.
func (b *Bridge) ask(ctx context.Context, t target.Target, method, path string, g grant.Grant, body []byte) ([]byte, error) {
	n, err := b.node(t)
	if err != nil {
		return nil, err
	}
	req, err := b.request(ctx, n, method, path, g, body)
	if err != nil {
		return nil, err
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return nil, n.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, n.answerError(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, n.unreachable(err)
	}
	return answer, nil
}

func (n *node) unreachable(err error) error {
	var urlErr interface{ Unwrap() error }
	if errors.As(err, &urlErr) { // net/http repeats the URL, with the command in it
		err = urlErr.Unwrap()
	}
	return fmt.Errorf("%w: node %s at %s: %w", ErrUnreachable, n.name, n.addr, err)
}

// answerError makes an error of an agent's refusal.
func (n *node) answerError(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	detail := fmt.Sprintf("node %s: %q", n.name, strings.TrimSpace(string(text)))
	switch resp.StatusCode {
	case http.StatusForbidden:
		return fmt.Errorf("%w: %s", ErrRefused, detail)
	case http.StatusNotFound:
		return fmt.Errorf("%w: %s", ErrGone, detail)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %s", ErrNoUser, detail)
	case http.StatusBadGateway:
		return &PortError{Reason: strings.TrimSpace(string(text))}
	}
	return fmt.Errorf("bridge: %s: %s", resp.Status, detail)
}

// Facts is what an agent knows about a container's user and shells.
type Facts struct {
	User    string   `json:"user"` // name, or the number where the container's user database has none
	UID     uint32   `json:"uid"`
	GID     uint32   `json:"gid"`
	Home    string   `json:"home"`
	Shell   string   `json:"shell"`  // login shell, empty if there is none that lets one in
	Shells  []string `json:"shells"` // the best first
	WorkDir string   `json:"workdir"`
}

// Facts asks who user is in the container; empty is the container's own.
func (b *Bridge) Facts(ctx context.Context, session, account string, t target.Target, user string) (Facts, error) {
	g := grantFor(grant.Facts, session, account, t)
	g.User = user
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	data, err := b.ask(ctx, t, http.MethodGet, "/v1/facts/"+path(t), g, nil)
	if err != nil {
		return Facts{}, err
	}
	var f Facts
	if err := json.Unmarshal(data, &f); err != nil {
		return Facts{}, fmt.Errorf("bridge: facts: %w", err)
	}
	return f, nil
}

func path(t target.Target) string {
	return string(t.Namespace) + "/" + t.Pod + "/" + t.Container
}
