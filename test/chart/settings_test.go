//go:build real

package chart

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/podbastion/podbastion/agent"
	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion"
	"github.com/podbastion/podbastion/internal/settings"
)

// settingsOf gives the configuration file that a pod mounts, as text and as a file.
func settingsOf(t *testing.T, list []object, name string) (text, path string) {
	t.Helper()
	text = at(t, find(list, "ConfigMap", "-"+name), "data", name+".yaml").(string)
	path = filepath.Join(t.TempDir(), name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return text, path
}

// environment is what a container's variables are on the node node-1, with $(NAME) put in as Kubernetes does.
func environment(t *testing.T, container any) map[string]string {
	t.Helper()
	env := map[string]string{}
	list, _ := container.(object)["env"].([]any)
	for _, v := range list {
		v := v.(object)
		value, ok := v["value"].(string)
		if !ok {
			if at(t, v, "valueFrom", "fieldRef", "fieldPath") != "spec.nodeName" {
				t.Fatalf("what is %v", v)
			}
			value = "node-1"
		}
		for name, known := range env {
			value = strings.ReplaceAll(value, "$("+name+")", known)
		}
		env[v["name"].(string)] = value
	}
	return env
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestBastionSettings(t *testing.T) {
	for name, args := range variants(t, "some") {
		if name == "agents only" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			list := render(t, "some", args...)
			text, path := settingsOf(t, list, "bastion")
			c, err := bastion.LoadConfig(settings.Source{File: path})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			set := find(list, "StatefulSet", "-bastion")
			files := append([]string{c.Roles, c.GrantKey, c.Agents.CAFile, c.Agents.CertFile, c.Agents.KeyFile}, argument(t, set, "bastion", "--config"))
			for _, cl := range c.Clusters {
				if cl.Kubeconfig != "" {
					files = append(files, cl.Kubeconfig)
				}
			}
			mounted(t, set, "bastion", files, true)
			mounted(t, set, "bastion", append(c.HostKeys, c.Audit.Log, c.Audit.Recordings, c.State), false)
			ports(t, set, "bastion", map[string]string{"ssh": c.Listen, "ops": c.Ops})
			grace(t, set, c.Drain)
			if name == "full" {
				wholeBastion(t, c, text, list)
			}
		})
	}
}

// wholeBastion looks at whether each value has come where it belongs, and no setting is forgotten.
func wholeBastion(t *testing.T, c bastion.Config, text string, list []object) {
	t.Helper()
	banner := "Be careful: {{ this is no template }}\nand this is: a second line\n"
	want := bastion.Config{
		Drain: 2 * time.Minute, Log: bastion.LogConfig{Level: "debug", Format: "json"},
		SSH: bastion.SSHConfig{LoginGrace: 90 * time.Second, MaxConnections: 10000000, MaxPerSource: 7, MaxUnauthenticated: 8, MaxChannels: 9,
			KeepaliveInterval: 2 * time.Second, KeepaliveMisses: 5, Banner: banner},
		Sessions: bastion.SessionsConfig{Max: 20000000, Env: []string{"LANG", "A_*"}},
		Clusters: []bastion.ClusterConfig{
			{Name: "prod", Namespaces: []string{"some"}, LabelSelector: "tier in (web)"},
			{Name: "west", Kubeconfig: "/etc/podbastion/kubeconfigs/west.conf", Context: "admin", Namespaces: []string{"shop", "infra"}, LabelSelector: "app=web"},
			{Name: "east", Kubeconfig: "/etc/podbastion/kubeconfigs/east.conf"},
		},
	}
	for what, pair := range map[string][2]any{
		"drain": {c.Drain, want.Drain}, "log": {c.Log, want.Log}, "ssh": {c.SSH, want.SSH}, "sessions": {c.Sessions, want.Sessions},
		"clusters": {c.Clusters, want.Clusters}, "agents.port": {c.Agents.Port, uint16(17443)},
		"agents.addresses": {c.Agents.Addresses, map[string]string{"node-1": "192.0.2.1:17443"}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s is %+v, want %+v", what, pair[0], pair[1])
		}
	}
	var reference bytes.Buffer
	if err := bastion.WriteReference(&reference); err != nil {
		t.Fatal(err)
	}
	noneForgotten(t, reference.String(), text, nil)
	document := at(t, find(list, "ConfigMap", "-roles"), "data", "roles.yaml").(string)
	if _, err := auth.Load("roles.yaml", []byte(document)); err != nil {
		t.Errorf("%v in\n%s", err, document)
	}
}

func TestAgentSettings(t *testing.T) {
	for name, args := range variants(t, "some") {
		if name == "bastion only" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			list := render(t, "some", args...)
			text, path := settingsOf(t, list, "agent")
			set := find(list, "DaemonSet", "-agent")
			env := environment(t, at(t, set, "spec", "template", "spec", "containers", "agent"))
			c, err := agent.LoadConfig(settings.Source{File: path, LookupEnv: lookup(env)})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if c.Node != "node-1" || !strings.HasSuffix(c.TLS.CertFile, "/agent-node-1.crt") || !strings.HasSuffix(c.TLS.KeyFile, "/agent-node-1.key") {
				t.Errorf("the node and its certificate: %+v", c)
			}
			socket := strings.TrimPrefix(c.Docker.Host, "unix://")
			mounted(t, set, "agent", append([]string{c.TLS.CertFile, c.TLS.KeyFile, c.TLS.ClientCAFile, socket, argument(t, set, "agent", "--config")}, c.GrantKeys...), true)
			mounted(t, set, "agent", []string{c.AuditLog}, false)
			ports(t, set, "agent", map[string]string{"agent": c.Listen, "": c.Ops})
			grace(t, set, c.Drain)
			if b := find(list, "StatefulSet", "-bastion"); b != nil {
				_, path := settingsOf(t, list, "bastion")
				front, err := bastion.LoadConfig(settings.Source{File: path})
				if err != nil {
					t.Fatal(err)
				}
				if c.Listen != fmt.Sprintf(":%d", front.Agents.Port) || c.Cluster != front.Clusters[0].Name {
					t.Errorf("the agent is %s of %s; the bastion looks for port %d of %s", c.Listen, c.Cluster, front.Agents.Port, front.Clusters[0].Name)
				}
			}
			if name != "full" {
				return
			}
			if c.MaxConnections != 30000000 || c.Drain != 20*time.Second || c.Log != (agent.LogConfig{Level: "warn", Format: "json"}) || len(c.GrantKeys) != 2 {
				t.Errorf("%+v", c)
			}
			var reference bytes.Buffer
			if err := agent.WriteReference(&reference); err != nil {
				t.Fatal(err)
			}
			noneForgotten(t, reference.String(), text, env)
		})
	}
}

// The documented commands make the Secrets and the ConfigMap that the pods name, with the keys that they take.
func TestDocumentedSecrets(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string][]string{}
	joined := strings.ReplaceAll(string(text), "\\\n", "")
	for _, command := range regexp.MustCompile(`(?m)^kubectl -n podbastion create (?:secret generic|configmap) (\S+)(.*)$`).FindAllStringSubmatch(joined, -1) {
		made[command[1]] = []string{}
		for _, file := range regexp.MustCompile(`--from-file=([\w./-]+)`).FindAllStringSubmatch(command[2], -1) {
			made[command[1]] = append(made[command[1]], filepath.Base(file[1]))
		}
	}
	list := render(t, "podbastion")
	pod := func(kind, name string) any { return at(t, find(list, kind, name), "spec", "template", "spec") }
	bastion, agent := pod("StatefulSet", "-bastion"), pod("DaemonSet", "-agent")
	keys := func(items any) (out []string) {
		for _, i := range items.([]any) {
			out = append(out, i.(object)["key"].(string))
		}
		return out
	}
	want := map[string][]string{
		at(t, bastion, "volumes", "keys", "secret", "secretName").(string): keys(at(t, bastion, "volumes", "keys", "secret", "items")),
		at(t, bastion, "volumes", "roles", "configMap", "name").(string):   keys(at(t, bastion, "volumes", "roles", "configMap", "items")),
		at(t, agent, "volumes", "keys", "secret", "secretName").(string):   {"ca.crt", "grant.pub"}, // and each node's, which a pattern adds
	}
	if !reflect.DeepEqual(made, want) {
		t.Errorf("documented: %v\nmounted:    %v", made, want)
	}
}

// noneForgotten looks for each setting of the reference in the file or in the environment.
func noneForgotten(t *testing.T, reference, text string, env map[string]string) {
	t.Helper()
	var file object
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, entry := range regexp.MustCompile(`(?m)^([a-zA-Z.]+) \(.*\n(?:    flag --\S+, environment (\S+)\n)?`).FindAllStringSubmatch(reference, -1) {
		found++
		var v any = file
		for _, key := range strings.Split(entry[1], ".") {
			in, _ := v.(object)
			v = in[key]
		}
		if _, ok := env[entry[2]]; v == nil && !ok {
			t.Errorf("the chart does not know the setting %s", entry[1])
		}
	}
	if found < 10 {
		t.Errorf("only %d settings in\n%s", found, reference)
	}
}

// argument is what follows a flag.
func argument(t *testing.T, set object, container, flag string) string {
	t.Helper()
	args := at(t, set, "spec", "template", "spec", "containers", container, "args").([]any)
	i := slices.Index(args, any(flag))
	if i < 0 || i+1 == len(args) {
		t.Fatalf("no %s in %v", flag, args)
	}
	return args[i+1].(string)
}

// mounted says whether each path lies in a mount, one that cannot be written where that is said, and, where the volume
// gives only some keys, is one of them.
func mounted(t *testing.T, set object, container string, paths []string, readOnly bool) {
	t.Helper()
	pod := at(t, set, "spec", "template", "spec").(object)
	for _, path := range paths {
		var mount object
		for _, m := range at(t, pod, "containers", container, "volumeMounts").([]any) {
			if m := m.(object); strings.HasPrefix(path, m["mountPath"].(string)+"/") {
				mount = m
			}
		}
		if mount == nil {
			t.Errorf("%s is in no mount", path)
			continue
		}
		if got, _ := mount["readOnly"].(bool); got != readOnly {
			t.Errorf("%s: the mount is read only: %t", path, got)
		}
		name := mount["name"].(string)
		var volume object
		volumes, _ := pod["volumes"].([]any)
		claims, _ := set["spec"].(object)["volumeClaimTemplates"].([]any)
		for _, v := range append(volumes, claims...) {
			v := v.(object)
			if meta, ok := v["metadata"].(object); v["name"] == name || ok && meta["name"] == name {
				volume = v
			}
		}
		if volume == nil {
			t.Errorf("%s: there is no volume %s", path, name)
			continue
		}
		for _, kind := range []string{"secret", "configMap"} {
			source, _ := volume[kind].(object)
			items, _ := source["items"].([]any)
			if items != nil && !slices.ContainsFunc(items, func(i any) bool { return i.(object)["path"] == filepath.Base(path) }) {
				t.Errorf("%s is not among what volume %s gives", path, name)
			}
		}
	}
}

// ports compares what is listened on with the container's ports and with those that the probes ask.
func ports(t *testing.T, set object, container string, listen map[string]string) {
	t.Helper()
	c := at(t, set, "spec", "template", "spec", "containers", container).(object)
	for name, addr := range listen {
		port := addr[strings.LastIndex(addr, ":")+1:]
		if name != "" && fmt.Sprint(at(t, c, "ports", name, "containerPort")) != port {
			t.Errorf("port %s is not %s", name, port)
		}
	}
	for probe, path := range map[string]string{"livenessProbe": "/healthz", "readinessProbe": "/readyz"} {
		get := at(t, c, probe, "httpGet").(object)
		if get["path"] != path {
			t.Errorf("%s asks %v", probe, get["path"])
		}
		host, _ := get["host"].(string)
		port := fmt.Sprint(get["port"])
		if port == "ops" {
			port = fmt.Sprint(at(t, c, "ports", "ops", "containerPort"))
		}
		if addr := host + ":" + port; addr != listen["ops"] && addr != listen[""] {
			t.Errorf("%s asks %s", probe, addr)
		}
	}
}

// grace is longer than the time that live sessions have.
func grace(t *testing.T, set object, drain time.Duration) {
	t.Helper()
	seconds := at(t, set, "spec", "template", "spec", "terminationGracePeriodSeconds").(int)
	if time.Duration(seconds)*time.Second < drain+10*time.Second {
		t.Errorf("the pod is killed after %d s, while it drains for %s", seconds, drain)
	}
}
