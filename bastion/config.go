// Package bastion composes the bastion from its parts, in the order in which data flows through them. It holds no
// logic of its own: what a part does is in the part's package.
package bastion

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/podbastion/podbastion/internal/settings"
)

// EnvPrefix begins the name of every environment variable that sets something.
const EnvPrefix = "PODBASTION"

// Config is everything that an operator can set. The tags are the reference that `bastion config` prints.
type Config struct {
	Listen   string          `yaml:"listen" default:":2222" doc:"address that SSH clients connect to"`
	HostKeys []string        `yaml:"hostKeys" default:"host_ed25519" doc:"private host key files in OpenSSH or PEM form; one that does not exist is made (ed25519)"`
	Roles    string          `yaml:"roles" default:"roles.yaml" doc:"the roles document: who may log in and what they may reach; reloaded when it changes and on SIGHUP"`
	Clusters []ClusterConfig `yaml:"clusters" doc:"the clusters whose pods can be reached: {name, kubeconfig, context, namespaces, labelSelector}; without kubeconfig: the cluster that the bastion runs in"`
	Agents   AgentsConfig    `yaml:"agents"`
	GrantKey string          `yaml:"grantKey" default:"grant.key" doc:"private ed25519 key (PEM) that signs grants; the agents hold its public half"`
	Audit    AuditConfig     `yaml:"audit"`
	State    string          `yaml:"state" doc:"folder of what a restart must not forget: used one-time codes, failed logins and lockouts; empty: state, beside audit.log"`
	SSH      SSHConfig       `yaml:"ssh"`
	Sessions SessionsConfig  `yaml:"sessions"`
	Ops      string          `yaml:"ops" default:"127.0.0.1:2223" doc:"address of /healthz, /readyz and /metrics; empty for none"`
	Drain    time.Duration   `yaml:"drain" default:"30s" doc:"how long live sessions may go on after SIGTERM"`
	Log      LogConfig       `yaml:"log"`
}

// ClusterConfig is one cluster.
type ClusterConfig struct {
	Name          string   `yaml:"name"`
	Kubeconfig    string   `yaml:"kubeconfig"`
	Context       string   `yaml:"context"`
	Namespaces    []string `yaml:"namespaces"`
	LabelSelector string   `yaml:"labelSelector"`
}

// AgentsConfig tells how the nodes' agents are reached and trusted.
type AgentsConfig struct {
	Port      uint16            `yaml:"port" default:"7443" doc:"port of the agent on every node"`
	Addresses map[string]string `yaml:"addresses" doc:"node name to host:port, where the pod's host IP is not the way"`
	CAFile    string            `yaml:"caFile" default:"ca.crt" doc:"certificate authority that signed the agents' certificates"`
	CertFile  string            `yaml:"certFile" default:"bastion.crt" doc:"the bastion's certificate toward agents"`
	KeyFile   string            `yaml:"keyFile" default:"bastion.key" doc:"private key of certFile"`
}

// AuditConfig tells where events and recordings are kept.
type AuditConfig struct {
	Log        string `yaml:"log" default:"audit.jsonl" doc:"audit log, JSON Lines, one event a line"`
	Recordings string `yaml:"recordings" default:"recordings" doc:"folder of the recordings (asciicast v2), one folder a day beneath it"`
}

// SSHConfig bounds what clients can take.
type SSHConfig struct {
	LoginGrace         time.Duration `yaml:"loginGrace" default:"60s" doc:"from connect to logged in"`
	MaxConnections     int           `yaml:"maxConnections" default:"10000" doc:"connections at once"`
	MaxPerSource       int           `yaml:"maxPerSource" default:"500" doc:"connections at once from one IPv4 address or IPv6 /64"`
	MaxUnauthenticated int           `yaml:"maxUnauthenticated" default:"200" doc:"connections at once that have not logged in yet"`
	MaxChannels        int           `yaml:"maxChannels" default:"64" doc:"sessions and forwards at once on one connection"`
	KeepaliveInterval  time.Duration `yaml:"keepaliveInterval" default:"5s" doc:"how often a silent client is asked whether it is there"`
	KeepaliveMisses    int           `yaml:"keepaliveMisses" default:"2" doc:"unanswered questions after which the connection is ended"`
	Banner             string        `yaml:"banner" doc:"text shown before login"`
}

// SessionsConfig bounds sessions beyond what roles say.
type SessionsConfig struct {
	Max int      `yaml:"max" default:"10000" doc:"sessions at once"`
	Env []string `yaml:"env" default:"LANG, LC_*, COLORTERM, TZ" doc:"environment variables that a client may send, with * at the end for any tail"`
}

// LogConfig shapes the operational log.
type LogConfig struct {
	Level  string `yaml:"level" default:"info" doc:"error, warn, info or debug"`
	Format string `yaml:"format" default:"text" doc:"text or json"`
}

// LoadConfig fills a Config from its sources and checks it.
func LoadConfig(src settings.Source) (Config, error) {
	var c Config
	src.EnvPrefix = EnvPrefix
	if err := settings.Load(&c, src); err != nil {
		return Config{}, fmt.Errorf("bastion: %w", err)
	}
	return c, c.check()
}

// state is a file in the state's folder.
func (c Config) state(name string) string {
	if c.State == "" {
		return filepath.Join(filepath.Dir(c.Audit.Log), "state", name)
	}
	return filepath.Join(c.State, name)
}

// WriteReference prints every setting.
func WriteReference(w io.Writer) error { return settings.Reference(w, &Config{}, EnvPrefix) }

func (c Config) check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf("bastion: "+format, args...)) }
	if len(c.HostKeys) == 0 {
		bad("hostKeys is empty: name at least one file, it is made if it does not exist")
	}
	if len(c.Clusters) == 0 {
		bad("clusters is empty: name at least one, for example {name: main, kubeconfig: /etc/podbastion/kubeconfig}")
	}
	seen := map[string]bool{}
	for i, cl := range c.Clusters {
		switch {
		case cl.Name == "":
			bad("clusters[%d] has no name", i)
		case seen[cl.Name]:
			bad("clusters[%d]: the name %q is taken already", i, cl.Name)
		}
		seen[cl.Name] = true
	}
	for name, n := range map[string]int{
		"ssh.maxConnections": c.SSH.MaxConnections, "ssh.maxPerSource": c.SSH.MaxPerSource, "ssh.maxUnauthenticated": c.SSH.MaxUnauthenticated,
		"ssh.maxChannels": c.SSH.MaxChannels, "ssh.keepaliveMisses": c.SSH.KeepaliveMisses, "sessions.max": c.Sessions.Max,
	} {
		if n <= 0 {
			bad("%s is %d; it must be at least 1", name, n)
		}
	}
	for name, d := range map[string]time.Duration{"ssh.loginGrace": c.SSH.LoginGrace, "ssh.keepaliveInterval": c.SSH.KeepaliveInterval} {
		if d <= 0 {
			bad("%s is %s; it must be more than nothing", name, d)
		}
	}
	return errors.Join(problems...)
}
