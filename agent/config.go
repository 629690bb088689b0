package agent

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/podbastion/podbastion/internal/settings"
)

// EnvPrefix begins the name of every environment variable that sets something.
const EnvPrefix = "PODBASTION_AGENT"

// Config is everything that an operator can set. The tags are the reference that `agent config` prints.
type Config struct {
	Listen         string        `yaml:"listen" default:":7443" doc:"address that the bastion connects to"`
	Node           string        `yaml:"node" doc:"name of this node as Kubernetes knows it; must be in the agent's certificate"`
	Cluster        string        `yaml:"cluster" doc:"name of the cluster as the bastion's configuration calls it"`
	Runtime        string        `yaml:"runtime" default:"docker" doc:"docker"`
	Docker         DockerConfig  `yaml:"docker"`
	TLS            TLSConfig     `yaml:"tls"`
	GrantKeys      []string      `yaml:"grantKeys" default:"grant.pub" doc:"files with the public keys (PEM) that sign the bastion's grants"`
	AuditLog       string        `yaml:"auditLog" default:"agent-audit.jsonl" doc:"where refused grants are remembered, JSON Lines"`
	MaxConnections int           `yaml:"maxConnections" default:"8192" doc:"connections at once"`
	Ops            string        `yaml:"ops" default:"127.0.0.1:7444" doc:"address of /healthz, /readyz and /metrics; empty for none"`
	Drain          time.Duration `yaml:"drain" default:"10s" doc:"how long live sessions may go on after SIGTERM"`
	Log            LogConfig     `yaml:"log"`
}

// DockerConfig tells where the Docker Engine is.
type DockerConfig struct {
	Host string `yaml:"host" doc:"the engine's address, for example unix:///run/docker.sock; empty: as the docker command finds it"`
}

// TLSConfig tells who the agent is and whom it believes.
type TLSConfig struct {
	CertFile     string `yaml:"certFile" default:"agent.crt" doc:"the agent's certificate; names the node"`
	KeyFile      string `yaml:"keyFile" default:"agent.key" doc:"private key of certFile"`
	ClientCAFile string `yaml:"clientCAFile" default:"ca.crt" doc:"certificate authority that signed the bastion's certificate"`
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
		return Config{}, fmt.Errorf("agent: %w", err)
	}
	return c, c.check()
}

// WriteReference prints every setting.
func WriteReference(w io.Writer) error { return settings.Reference(w, &Config{}, EnvPrefix) }

func (c Config) check() error {
	var problems []error
	if c.Node == "" {
		problems = append(problems, errors.New("agent: node is not set: give the node's name as `kubectl get nodes` prints it"))
	}
	if c.Cluster == "" {
		problems = append(problems, errors.New("agent: cluster is not set: give the name that the bastion's configuration uses"))
	}
	if c.Runtime != "docker" {
		problems = append(problems, fmt.Errorf("agent: runtime %q is not known: use docker", c.Runtime))
	}
	if len(c.GrantKeys) == 0 {
		problems = append(problems, errors.New("agent: grantKeys is empty: name the file with the bastion's public grant key"))
	}
	if c.MaxConnections < 1 {
		problems = append(problems, errors.New("agent: maxConnections must be at least 1"))
	}
	return errors.Join(problems...)
}
