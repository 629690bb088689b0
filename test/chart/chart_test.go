//go:build real

package chart

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const chart = "../../deploy/helm/podbastion"

type object = map[string]any

func need(t *testing.T, variable string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		t.Fatalf("%s is not set: run the tests through make test, or eval \"$(test/real/real.sh up)\" first", variable)
	}
	return v
}

// helm runs the real one, with no settings of the user's.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.Command(need(t, "PODBASTION_HELM"), args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "KUBECONFIG="+os.Getenv("PODBASTION_KUBECONFIG"))
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// kubernetes is the version that helm takes for the cluster's where it talks to none.
const kubernetes = "--kube-version=1.37"

// variants are the ways to install that the tests look at: a name and what helm is told.
func variants(t *testing.T, namespace string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(t.TempDir(), "full.yaml")
	if err := os.WriteFile(full, bytes.ReplaceAll(data, []byte("NAMESPACE"), []byte(namespace)), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"defaults":    nil,
		"full":        {"--values", full, "--set-file", "roles.document=testdata/roles.yaml"},
		"agents only": {"--set", "bastion.enabled=false"},
		"bastion only": {"--set", "agent.enabled=false,bastion.persistence.existingClaim=mine,bastion.service.type=ClusterIP,bastion.rbac=false",
			"--set", "bastion.networkPolicy.enabled=true"},
		"load balancer": {"--set", "bastion.service.loadBalancerSourceRanges={192.0.2.0/24}"},
	}
}

// render gives the chart's objects; none may be there twice.
func render(t *testing.T, namespace string, args ...string) []object {
	t.Helper()
	out, errOut, err := helm(t, append([]string{"template", "podbastion", chart, "--namespace", namespace, kubernetes}, args...)...)
	if err != nil {
		t.Fatalf("%v: %s", err, errOut)
	}
	var list []object
	seen := map[string]bool{}
	dec := yaml.NewDecoder(strings.NewReader(out)) // which refuses a key that is there twice
	for {
		var o object
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if o == nil {
			continue
		}
		id, ok := o["kind"].(string)
		if !ok {
			t.Fatalf("an object without a kind: %v", o)
		}
		meta := o["metadata"].(object)
		space, _ := meta["namespace"].(string)
		id += " " + space + "/" + meta["name"].(string)
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		list = append(list, o)
	}
}

// find gives the one object of a kind whose name has that end, or nil.
func find(list []object, kind, end string) object {
	for _, o := range list {
		if o["kind"] == kind && strings.HasSuffix(o["metadata"].(object)["name"].(string), end) {
			return o
		}
	}
	return nil
}

// at goes down into an object: keys of maps, and names of list items.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for i, step := range path {
		switch in := v.(type) {
		case object:
			v = in[step]
		case []any:
			v = nil
			for _, item := range in {
				if item.(object)["name"] == step {
					v = item
				}
			}
		}
		if v == nil {
			t.Fatalf("there is no %s", strings.Join(path[:i+1], "."))
		}
	}
	return v
}

func TestLint(t *testing.T) {
	for name, args := range variants(t, "some") {
		t.Run(name, func(t *testing.T) {
			if out, errOut, err := helm(t, append([]string{"lint", "--strict", kubernetes, chart}, args...)...); err != nil {
				t.Errorf("%v\n%s%s", err, out, errOut)
			}
		})
	}
}

// A bad value is an error that names the key.
func TestBadValues(t *testing.T) {
	for _, tc := range []struct{ set, want string }{
		{"bastoin.enabled=false", "bastoin"},
		{"bastion.replicas=2", "replicas"},
		{"bastion.ssh.maxConnection=5", "maxConnection"},
		{"bastion.ssh.maxChannels=0", "/bastion/ssh/maxChannels"},
		{"bastion.ssh.loginGrace=60", "/bastion/ssh/loginGrace"},
		{"bastion.sessions.max=many", "/bastion/sessions/max"},
		{"bastion.log.level=loud", "/bastion/log/level"},
		{"bastion.service.type=ExternalName", "/bastion/service/type"},
		{"bastion.service.port=70000", "/bastion/service/port"},
		{"bastion.persistence.size=20GB", "/bastion/persistence/size"},
		{"bastion.image.repositroy=x", "repositroy"},
		{"bastion.secret=", "/bastion/secret"},
		{"bastion.resources.request.cpu=1", "request"},
		{"agent.port=0", "/agent/port"},
		{"agent.privileged=yes", "/agent/privileged"},
		{"agent.grantKeys=null", "grantKeys"},
		{"agent.grantKeys={}", "/agent/grantKeys"},
		{"agent.dockerSocket=unix:///run/docker.sock", "/agent/dockerSocket"},
		{"cluster.name=", "/cluster/name"},
		{"cluster.kubeconfig=x", "kubeconfig"},
		{"otherClusters[0].name=west", "kubeconfig"},
		{"otherClusters[0].name=west,otherClusters[0].kubeconfig=west", "kubeconfigSecret: name the Secret"},
		{"otherClusters[0].name=main,otherClusters[0].kubeconfig=x,kubeconfigSecret=s", `otherClusters: the name "main" is taken`},
		{"roles.configMap=", "roles.configMap: name a ConfigMap"},
		{"agent.opsPort=7443", "agent.opsPort"},
	} {
		t.Run(tc.set, func(t *testing.T) {
			out, errOut, err := helm(t, "template", "podbastion", chart, kubernetes, "--set", tc.set)
			switch {
			case err == nil:
				t.Errorf("it was taken:\n%s", out)
			case !strings.Contains(errOut, tc.want):
				t.Errorf("the error does not say %q:\n%s", tc.want, errOut)
			}
		})
	}
}

// What is rendered twice is the same, and holds no Secret: an upgrade changes no key.
func TestSteady(t *testing.T) {
	for name, args := range variants(t, "some") {
		var texts [2]string
		for i := range texts {
			out, errOut, err := helm(t, append([]string{"template", "podbastion", chart, kubernetes}, args...)...)
			if err != nil {
				t.Fatalf("%s: %v: %s", name, err, errOut)
			}
			texts[i] = out
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: the second time it is different", name)
		}
		if o := find(render(t, "some", args...), "Secret", ""); o != nil {
			t.Errorf("%s: there is a Secret: %v", name, o["metadata"])
		}
	}
}
