package imports

// row says which of our own packages a package may import, tests apart. A path that ends in /... stands for the package
// and everything beneath it. The row with the longest matching pkg counts.
type row struct {
	pkg string
	may []string
	why string // why nothing else
}

var table = []row{
	{"cmd/bastion", []string{"bastion", "bastion/demo", "bastion/session", "agent/files", "agent/reaper", "auth", "auth/policy", "shellparse/syntax", "internal/..."}, "a command reads flags and maps errors to exit codes; what it starts is put together in package bastion"},
	{"cmd/agent", []string{"agent/...", "audit/log", "auth/grant", "internal/..."}, "the agent's program must not hold the bastion"},
	{"cmd/bastionctl", []string{"shellparse/...", "audit/...", "auth", "auth/policy", "internal/..."}, "a client holds neither daemon"},

	{"auth", []string{"auth/glob"}, "everybody's vocabulary: what it imported, all would"},
	{"auth/glob", nil, "patterns, whatever they are for"},
	{"auth/grant", nil, "bastion and agent share it: it must not drag one into the other"},
	{"auth/policy", []string{"auth", "auth/glob", "shellparse/syntax"}, "policy is a pure function; whatever it needs to know is an argument"},
	{"auth/verify", []string{"auth", "internal/journal"}, "a verifier turns a credential into a principal and knows nothing of where it leads"},
	{"auth/throttle", []string{"auth", "internal/journal"}, "it counts failures, whoever serves the login"},
	{"auth/...", []string{"auth"}, "verifiers know nothing of where a login leads"},

	{"audit", nil, "everybody's vocabulary: what it imported, all would"},
	{"audit/log", []string{"audit"}, "a sink is a tap: it knows events, not who makes them"},
	{"audit/cast", []string{"internal/tty"}, "a recording is bytes and sizes"},
	{"audit/...", []string{"audit", "internal/tty"}, "a sink is a tap: it knows events, not who makes them"},

	{"shellparse", []string{"shellparse/...", "internal/tty"}, "a parser can be tested, fuzzed and used without a bastion"},
	{"shellparse/screen", []string{"internal/tty"}, "the screen knows bytes and cells, no lines and no commands"},
	{"shellparse/line", []string{"shellparse/screen", "internal/tty"}, "a line is read from the screen; what it means is another matter"},
	{"shellparse/syntax", nil, "grammar is text in, tree out"},
	{"shellparse/keyfile", []string{"shellparse/syntax"}, "what a file binds is read from its text"},

	{"agent", []string{"agent/...", "audit", "auth/grant", "internal/..."}, "the agent runs on every node: it knows no accounts, no policy and nothing of the bastion"},
	{"agent/daemon", []string{"agent/...", "audit/log", "auth/grant", "internal/..."}, "the agent's composition root holds the agent only"},
	{"agent/facts", []string{"agent/runtime", "agent/runtime/proc"}, "it asks a container through a runtime, and a process of it"},
	{"agent/files", []string{"agent/facts", "agent/files/...", "agent/runtime/...", "internal/..."}, "files are served in a container; grants were checked before"},
	{"agent/files/access", []string{"agent/files/tree", "audit", "auth/glob", "internal/filewire"}, "whether a path is permitted is decided by the same patterns as everywhere; all that is imported is started with every helper"},
	{"agent/files/tree", nil, "it walks paths and trusts nobody, so it knows nobody"},
	{"agent/files/confine", nil, "it gives up rights and needs nobody for that"},
	{"agent/files/...", []string{"agent/files/...", "internal/filewire"}, "a file protocol reaches the container through access and tree only"},
	{"agent/reaper", []string{"agent/runtime/proc", "internal/journal"}, "it ends processes, whoever started them"},
	{"agent/runtime", []string{"agent/runtime/proc", "internal/tty"}, "an interface that knew its implementations could not have another"},
	{"agent/runtime/proc", nil, "it reads /proc"},
	{"agent/runtime/...", []string{"agent/runtime", "agent/runtime/proc", "internal/tty"}, "a runtime runs what it is told to: grants and sessions are not its business"},

	{"bastion", []string{"agent/daemon", "audit/...", "auth/...", "bastion/...", "internal/..."}, "the composition root wires; parsing and running are in its parts"},
	{"bastion/demo", []string{"agent/...", "audit/...", "auth/...", "bastion/...", "internal/..."}, "the demo is a whole bastion with an agent, and the only place where both meet"},
	{"bastion/target", nil, "everybody's vocabulary: what it imported, all would"},
	{"bastion/route", []string{"auth", "bastion/target"}, "it declares the index that it asks, so that it need not know who keeps it"},
	{"bastion/store", []string{"bastion/target"}, "it keeps what it is fed and knows neither who feeds it nor who may see it"},
	{"bastion/store/...", []string{"bastion/store", "bastion/target"}, "a conformance suite knows the store"},
	{"bastion/kube", []string{"bastion/route", "bastion/target"}, "it feeds an index that it declares itself"},
	{"bastion/picker", []string{"internal/tty"}, "it chooses among lines, whatever they stand for"},
	{"bastion/bridge", []string{"auth/grant", "bastion/bridge/...", "bastion/route", "bastion/target", "internal/..."}, "the way to an agent knows targets and grants, not accounts and roles"},
	{"bastion/bridge/...", nil, "a transport carries bytes"},
	{"bastion/ahead", []string{"internal/filewire"}, "it stands between two streams of bytes and knows neither who is at their ends"},
	{"bastion/guard", []string{"auth", "auth/policy", "bastion/guard/...", "shellparse/...", "internal/tty"}, "it is given its terminals, decisions and records, so that it can be tested without a session"},
	{"bastion/guard/gate", []string{"internal/tty"}, "a hook for a shell knows the shell"},
	{"bastion/session", []string{"audit", "audit/cast", "auth", "auth/glob", "auth/policy", "bastion/ahead", "bastion/bridge", "bastion/guard/...", "bastion/picker", "bastion/route", "bastion/target", "internal/...", "shellparse/keyfile", "shellparse/syntax"},
		"a session does not know what carries it: SSH today, HTTP tomorrow"},
	{"bastion/sshd", []string{"audit", "auth", "auth/throttle", "auth/verify", "bastion/bridge", "bastion/session", "bastion/target", "internal/..."}, "the SSH front ends where a session begins"},

	{"internal/...", nil, "what all may import imports none of them"},
	{"test/...", nil, "the real-program tests drive the built binaries and link none of the product"},
}

// planned are packages that the table knows before they exist.
var planned = map[string]bool{"shellparse": true}

// testPackages are imported by tests, and by each other, only. They may import anything.
var testPackages = []string{"agent/agenttest", "agent/runtime/runtimetest", "bastion/store/storetest"}

// ban keeps an import to the packages that are named.
type ban struct {
	imports []string // paths; with /... everything beneath too
	in      []string // where it is banned; nil: everywhere
	but     []string // where it is not
	why     string
}

var bans = []ban{
	{imports: []string{"k8s.io/client-go/tools/cache/...", "k8s.io/client-go/informers/...", "k8s.io/client-go/listers/...", "k8s.io/client-go/metadata/...", "k8s.io/client-go/dynamic/..."},
		but: []string{"bastion/kube"}, why: "one place watches clusters; all else asks the index"},
	{imports: []string{"k8s.io/client-go/..."}, but: []string{"bastion/kube", "bastion/bridge/..."}, why: "nobody else holds Kubernetes credentials, an agent least of all"},
	{imports: []string{"k8s.io/cri-streaming/..."}, but: []string{"agent"}, why: "the kubelet-shaped server is the agent's"},
	{imports: []string{"github.com/docker/docker/..."}, but: []string{"agent/runtime/docker"}, why: "whoever reaches the Engine's socket is root on the node"},
	{imports: []string{"github.com/hashicorp/go-memdb"}, but: []string{"bastion/store"}, why: "what keeps the state can be exchanged"},
	{imports: []string{"github.com/gliderlabs/ssh"}, but: []string{"bastion/sshd"}, why: "its traps (newlines rewritten, offered keys kept) are known and avoided in one place"},
	{imports: []string{"golang.org/x/crypto/ssh/agent"}, why: "nothing here forwards or holds an SSH agent"},
	{imports: []string{"mvdan.cc/sh/v3/..."}, but: []string{"shellparse/syntax"}, why: "policy judges our tree; another grammar must not leak through it"},
	{imports: []string{"github.com/sirupsen/logrus"}, in: []string{"auth/...", "audit/...", "shellparse/...", "bastion/target", "bastion/route", "bastion/store/...", "bastion/picker", "bastion/guard/gate"},
		why: "leaves return errors; whoever calls them knows what is worth a log line"},
	{imports: []string{"log", "log/slog"}, but: []string{"agent", "internal/ops"}, why: "there is one operational log; net/http wants a log.Logger to write its complaints to"},
	{imports: []string{"math/rand", "math/rand/v2"}, why: "ids, nonces and secrets are guessed from it; where only jitter is wanted crypto/rand does as well"},
	{imports: []string{"net/http/pprof", "expvar"}, why: "they register themselves with the default mux, and dumps of memory hold secrets"},
	{imports: []string{"os/exec"}, in: []string{"auth/...", "audit/...", "shellparse/...", "bastion/..."}, but: []string{"bastion/demo"}, why: "the bastion runs nothing on its own machine"},
	{imports: []string{"os", "net", "net/http", "os/exec", "syscall", "golang.org/x/sys/..."}, in: []string{"auth/policy", "auth/grant", "shellparse/...", "bastion/target", "bastion/route", "bastion/picker"},
		but: []string{"auth/grant"}, why: "these are pure: what they need to know is an argument"},
	{imports: []string{"unsafe"}, but: []string{"agent/files/...", "agent/runtime/proc"}, why: "only system calls that have no wrapper need it"},
	{imports: []string{"C", "plugin"}, why: "the binaries are static"},
	{imports: []string{"testing/...", "go.uber.org/goleak", "github.com/rogpeppe/go-internal/...", "github.com/charmbracelet/...", "net/http/httptest"},
		why: "test helpers do not belong into the product"},
}
