package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/auth/policy"
	"github.com/podbastion/podbastion/bastion/session"
	"github.com/podbastion/podbastion/internal/cli"
	"github.com/podbastion/podbastion/internal/filewire"
	"github.com/podbastion/podbastion/shellparse/syntax"
)

const explainHelp = `bastion explain --roles ROLES --as ACCOUNT [--target CLUSTER/NS/POD[/CONTAINER]] [COMMAND]

Shows what an account may do at a target or, with a command, how that is understood, which rule decides each part of
it, and the verdict. Without a target every role of the account is looked at. Quote the command, so that your own
shell leaves it as it is.

`

// explainRequest is what the command line asks.
type explainRequest struct {
	roles, account, target, from, shell string
	labels                              []string
	sizes                               []string
	dir, home                           string
	exec                                bool
	subsystem                           string
	command                             string
}

func explain(_ context.Context, args []string, out, errOut io.Writer) error {
	var q explainRequest
	flags := pflag.NewFlagSet("explain", pflag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.SetInterspersed(false) // what follows the command's first word belongs to the command
	flags.StringVar(&q.roles, "roles", "", "roles document")
	flags.StringVar(&q.account, "as", "", "account")
	flags.StringVar(&q.target, "target", "", "CLUSTER/NAMESPACE/POD or CLUSTER/NAMESPACE/POD/CONTAINER")
	flags.StringSliceVar(&q.labels, "labels", nil, "the pod's labels: k=v,…")
	flags.StringVar(&q.from, "from", "", "the client's address; without it every role counts")
	flags.StringVar(&q.dir, "cwd", "", "working directory")
	flags.StringVar(&q.home, "home", "", "home directory")
	flags.StringVar(&q.shell, "shell", "bash", "the shell that reads the command")
	flags.StringVar(&q.subsystem, "subsystem", "", "a subsystem instead of a command: sftp")
	flags.BoolVar(&q.exec, "exec", false, "the command comes as an exec request: ssh account+pod@bastion COMMAND")
	flags.StringArrayVar(&q.sizes, "size", nil, "PATH=BYTES of a file, where a rule asks for it; without BYTES it is missing")
	flags.Usage = func() { fmt.Fprint(errOut, explainHelp+flags.FlagUsages()) }
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return cli.Usage("%w", err)
	case q.roles == "" || q.account == "":
		return cli.Usage("want --roles and --as, for example: bastion explain --roles roles.yaml --as alice 'ls /tmp'")
	}
	q.command = strings.Join(flags.Args(), " ")
	if q.subsystem != "" && (q.subsystem != filewire.SFTP || q.command != "") {
		return cli.Usage("--subsystem: there is sftp, which takes no command")
	}
	roles, err := q.load()
	if err != nil {
		return err
	}
	if q.subsystem != "" {
		return q.transfer(out, roles, filewire.Header{Protocol: filewire.SFTP})
	}
	if h, ok := session.Recognise(q.command); ok {
		fmt.Fprintln(out, "a file transfer: what the role's files permit decides, and not its commands (unless it is typed at a prompt)")
		return q.transfer(out, roles, h)
	}
	if q.command == "" {
		for _, r := range roles {
			describeRole(out, r)
		}
		return nil
	}
	return q.decide(out, roles)
}

// load finds the roles that count: with a target the one that governs it.
func (q *explainRequest) load() ([]*auth.Role, error) {
	source, err := auth.NewSource(q.roles, nil)
	if err != nil {
		var missing *fs.PathError
		if errors.As(err, &missing) {
			return nil, err
		}
		return nil, &cli.Error{Status: cli.StatusConfig, Err: err}
	}
	doc := source.Current()
	roles, err := q.usable(doc)
	if err != nil || q.target == "" {
		return roles, err
	}
	resource, err := parseResource(q.target, q.labels)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		if r.Matches(resource) {
			return []*auth.Role{r}, nil
		}
	}
	return nil, &cli.Error{Status: cli.StatusUnknown, Err: fmt.Errorf("no role of account %s reaches target %s", q.account, q.target)}
}

// usable lists the account's roles, from that address where one is given.
func (q *explainRequest) usable(doc *auth.Document) ([]*auth.Role, error) {
	account := auth.Account(q.account)
	credentials, ok := doc.Credentials(account)
	if !ok {
		return nil, &cli.Error{Status: cli.StatusUnknown, Err: fmt.Errorf("%s has no account %q", q.roles, q.account)}
	}
	if q.from != "" {
		from, err := netip.ParseAddr(q.from)
		if err != nil {
			return nil, cli.Usage("--from %q is not an address", q.from)
		}
		access, err := doc.Access(account, from)
		if err != nil {
			return nil, &cli.Error{Status: cli.StatusUnknown, Err: err}
		}
		return access.Roles(), nil
	}
	var out []*auth.Role
	for _, name := range credentials.Roles {
		for _, r := range doc.Roles() {
			if r.Name == name {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

func parseResource(target string, labels []string) (auth.Resource, error) {
	parts := strings.Split(target, "/")
	if len(parts) < 3 || len(parts) > 4 {
		return auth.Resource{}, cli.Usage("--target %q: want CLUSTER/NAMESPACE/POD or CLUSTER/NAMESPACE/POD/CONTAINER", target)
	}
	r := auth.Resource{Cluster: parts[0], Namespace: parts[1], Pod: parts[2], Labels: make(map[string]string)}
	if len(parts) == 4 {
		r.Container = parts[3]
	}
	for _, l := range labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok {
			return auth.Resource{}, cli.Usage("--labels: %q is not of the form key=value", l)
		}
		r.Labels[k] = v
	}
	return r, nil
}

// decide prints the verdict of each role. It is denied when every role denies it.
func (q *explainRequest) decide(out io.Writer, roles []*auth.Role) error {
	dialect, ok := syntax.DialectOf(q.shell)
	if !ok {
		return cli.Usage("--shell %q is no shell that is known", q.shell)
	}
	facts := policy.Facts{Dir: q.dir, Home: q.home, Sizes: make(map[string]int64)}
	for _, s := range q.sizes {
		name, text, _ := strings.Cut(s, "=")
		size, err := strconv.ParseInt(text, 10, 64)
		if text == "" {
			size, err = policy.Missing, nil
		}
		if err != nil || !strings.HasPrefix(name, "/") {
			return cli.Usage("--size %q: want an absolute path and bytes, as in /var/log/app.log=1048576", s)
		}
		facts.Sizes[path.Clean(name)] = size
	}
	denied := len(roles) > 0
	for _, r := range roles {
		compiled := policy.Compile(&r.Commands)
		var v policy.Verdict
		if q.exec {
			v = compiled.DecideExec(facts, q.command)
		} else {
			v = compiled.Decide(policy.Line{Text: q.command, Dialect: dialect}, facts)
		}
		printVerdict(out, r, v)
		denied = denied && v.Action == auth.Deny
	}
	return status(denied)
}

func status(denied bool) error {
	if denied {
		return &cli.Error{Status: cli.StatusDenied}
	}
	return nil
}

func printVerdict(out io.Writer, r *auth.Role, v policy.Verdict) {
	fmt.Fprintf(out, "role %s: %s with %d rules\n", r.Name, r.Commands.Mode, len(r.Commands.Rules))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, n := range v.Nodes {
		where := ""
		if len(n.Via) > 0 {
			where = "(run by " + strings.Join(n.Via, ", ") + ") "
		}
		if n.Function != "" {
			where += "(in function " + n.Function + ") "
		}
		if n.Possible {
			where += "(if a value is so) "
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", n.Action, visible(n.Text), visible(where+n.Reason))
	}
	_ = table.Flush() // a writer that fails fails below too
	fmt.Fprintf(out, "verdict: %s, confidence %s: %s\n", v.Action, v.Confidence, visible(v.Reason))
	if v.Message != "" {
		fmt.Fprintf(out, "message to the user: %s\n", visible(v.Message))
	}
	for _, p := range v.Needs {
		fmt.Fprintf(out, "depends on the size of %s: say --size %s=BYTES\n", visible(p), visible(p))
	}
	if v.StartsShell {
		fmt.Fprintln(out, "it starts a shell, whose commands are judged as they come")
	}
}

// visible shows control characters instead of sending them to the terminal, and cuts what is long.
func visible(s string) string {
	const most = 200
	cut := []rune(s)
	if len(cut) > most {
		cut = append(cut[:most], '…')
	}
	var b strings.Builder
	for _, r := range cut {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// describeRole prints what a role permits.
func describeRole(out io.Writer, r *auth.Role) {
	fmt.Fprintf(out, "role %s\n", r.Name)
	for _, t := range r.Targets {
		fmt.Fprintf(out, "  target: clusters %s, namespaces %s, pods %s, containers %s", globs(t.Clusters), globs(t.Namespaces), globs(t.Pods), globs(t.Containers))
		if !t.Selector.Empty() {
			fmt.Fprintf(out, ", selector %s", t.Selector)
		}
		fmt.Fprintln(out)
	}
	if r.User != "" {
		fmt.Fprintf(out, "  runs as %s\n", r.User)
	}
	fallback := "denied"
	if r.Commands.Mode == auth.Denylist {
		fallback = "allowed"
	}
	fmt.Fprintf(out, "  commands: %s; what no rule matches is %s\n", r.Commands.Mode, fallback)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, rule := range r.Commands.Rules {
		fmt.Fprintf(table, "    %s\t%s\t%s\n", rule.Action, rule.ID, visible(conditions(rule)))
	}
	_ = table.Flush() // a writer that fails fails below too
	describeFiles(out, r)
	for _, p := range r.Forward.PodPorts {
		fmt.Fprintf(out, "  forward: ports %d to %d\n", p.First, p.Last)
	}
	fmt.Fprintf(out, "  recording: %s\n", r.Recording)
	if l := r.Limits; l.Sessions > 0 || l.Idle > 0 || l.Duration > 0 || len(l.SourceAddresses) > 0 {
		fmt.Fprintf(out, "  limits: sessions %s, idle %s, duration %s, from %s\n", orNone(l.Sessions), orNone(l.Idle), orNone(l.Duration), sources(l.SourceAddresses))
	}
}

func orNone[T comparable](v T) string {
	var zero T
	if v == zero {
		return "any"
	}
	return fmt.Sprint(v)
}

func sources(list []netip.Prefix) string {
	if len(list) == 0 {
		return "anywhere"
	}
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

func globs[T fmt.Stringer](list []T) string {
	if len(list) == 0 {
		return "*"
	}
	var out []string
	for _, g := range list {
		out = append(out, g.String())
	}
	return strings.Join(out, " ")
}

// conditions shows what a rule asks for.
func conditions(r auth.Rule) string {
	var out []string
	if len(r.Programs) > 0 {
		out = append(out, "programs "+globs(r.Programs))
	}
	if len(r.Arguments) > 0 {
		out = append(out, "arguments "+globs(r.Arguments))
	}
	if len(r.Flags) > 0 {
		out = append(out, "flags "+strings.Join(r.Flags, " "))
	}
	if len(r.Paths) > 0 {
		out = append(out, "paths "+globs(r.Paths))
	}
	if r.FileLargerThan >= 0 {
		out = append(out, fmt.Sprintf("files over %d bytes", r.FileLargerThan))
	}
	if r.Regex != nil {
		out = append(out, "regex "+r.Regex.String())
	}
	if r.Message != "" {
		out = append(out, "message "+strconv.Quote(r.Message))
	}
	return strings.Join(out, "; ")
}
