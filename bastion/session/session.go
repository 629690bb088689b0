// Package session owns one session's life, from a logged-in client's request to the exit status: the address is
// resolved and permitted, limits are held, facts of the container are asked for, a shell is chosen, the process is
// started, bytes are copied and recorded, and whatever ends it is told to the client, to the audit log and to the
// metrics. It also owns the register of live sessions, which a new roles document, a pod that is gone and a shutdown
// end through. It knows no SSH: a client is a few streams and channels.
//
// The order of an end is written down here once: the target's output, then the notice if there is one, then Serve
// returns the exit, which the front turns into EOF, exit-status and close.
package session

import (
	"context"
	"io"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/audit"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/glob"
	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/target"
	"github.com/podbastion/podbastion/internal/tty"
)

// Kind is what a client asked for.
type Kind string

const (
	Shell     Kind = "shell"
	Exec      Kind = "exec"
	Subsystem Kind = "subsystem"
)

// Login is the connection that a session belongs to.
type Login struct {
	Principal *auth.Principal
	User      string // the address as the client typed it
	Client    string // SSH version string of the client
	Local     netip.AddrPort
	At        time.Time // when it was accepted, for the connection's first session
}

// Terminal is what a client asked for with its terminal.
type Terminal struct {
	Term  string
	Size  tty.Size
	Modes []byte // encoded terminal modes, RFC 4254 section 8
}

// Request is what a client wants run.
type Request struct {
	Kind     Kind
	Command  string    // of an exec; the name of a subsystem
	Terminal *Terminal // nil without one
	Env      []Variable
	Notes    []string // what was refused on the way here, to be told to the client
}

// Variable is an environment variable that a client sent.
type Variable struct{ Name, Value string }

// Client is the client's side of a session.
type Client struct {
	Stdin   io.Reader // io.EOF once the client has sent EOF
	Stdout  io.Writer
	Stderr  io.Writer       // may be written to from several goroutines
	Resizes <-chan tty.Size // the newest size counts; older ones may be left out
	Signals <-chan string   // names without SIG
	Abort   func()          // ends the connection beneath; for a client that takes nothing any more
}

// Router finds and permits targets; *route.Router is one.
type Router interface {
	Resolve(access *auth.Access, addr target.Address) (route.Resolved, error)
	Revalidate(access *auth.Access, t target.Target) (*auth.Role, error)
	List(access *auth.Access, most int) []route.Candidate
}

// Bridge runs things in containers; *bridge.Bridge is one.
type Bridge interface {
	Facts(ctx context.Context, session, account string, t target.Target, user string) (bridge.Facts, error)
	Exec(ctx context.Context, s bridge.Start) (bridge.Process, error)
	Forward(ctx context.Context, session, account string, t target.Target, port uint16) (io.ReadWriteCloser, error)
}

// Files serves containers' files; *bridge.Bridge does.
type Files interface {
	Files(ctx context.Context, s bridge.FilesStart) (bridge.Process, error)
}

// Documents hands out the roles document in force; *auth.Source is one.
type Documents interface {
	Current() *auth.Document
}

// Options composes a Service.
type Options struct {
	Router     Router
	Bridge     Bridge
	Node       Node  // nil: nobody tells of terminals and files
	Files      Files // nil: none are served
	Documents  Documents
	Audit      audit.Sink
	Recordings Recordings // nil: none is possible
	Max        int        // sessions at once
	Env        []glob.Name
	Log        logrus.FieldLogger
	Metrics    *Metrics
}

// Service serves sessions. It is safe for concurrent use.
type Service struct {
	o    Options
	env  *auth.Role // what every role's clients may set
	live *register

	policies policies
}

// New composes a service.
func New(o Options) *Service {
	return &Service{o: o, env: &auth.Role{Env: o.Env}, live: newRegister(o.Max)}
}

// Serve serves one request to its end. The context ends when the client is gone. The exit is to be told to the client;
// everything else was told already.
func (s *Service) Serve(ctx context.Context, login Login, req Request, client Client) bridge.Exit {
	r := &run{service: s, login: login, request: req, client: client, id: newID(), began: time.Now()}
	for _, note := range req.Notes {
		r.say(note)
	}
	exit, err := r.serve(ctx)
	if err != nil {
		return r.refuse(err)
	}
	return exit
}
