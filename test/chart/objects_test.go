//go:build real

package chart

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// cluster is the real API server with a namespace of the test's own: what a namespace holds is looked at only where it is there.
func cluster(t *testing.T) (client dynamic.Interface, mapper meta.RESTMapper, namespace string) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", need(t, "PODBASTION_KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	if client, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	known, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(known)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	namespaces := client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	namespace = "test-" + strings.ToLower(rand.Text()[:10])
	made := &unstructured.Unstructured{Object: object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": namespace}}}
	if _, err := namespaces.Create(ctx, made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := namespaces.Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return client, restmapper.NewDiscoveryRESTMapper(groups), namespace
}

// The API server takes every object, with no field that it does not know.
func TestObjects(t *testing.T) {
	client, mapper, namespace := cluster(t)
	ctx := context.Background()
	apply := func(o object) error {
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return err
		}
		kind := u.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return err
		}
		_, err = client.Resource(mapping.Resource).Namespace(u.GetNamespace()).Patch(ctx, u.GetName(), types.ApplyPatchType, data,
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict, FieldManager: "test"})
		return err
	}
	for name, args := range variants(t, namespace) {
		t.Run(name, func(t *testing.T) {
			list := render(t, namespace, args...)
			if len(list) < 2 {
				t.Errorf("only %d objects", len(list))
			}
			for _, o := range list {
				if err := apply(o); err != nil {
					t.Errorf("%s %v: %v", o["kind"], o["metadata"].(object)["name"], err)
				}
			}
		})
	}
	t.Run("it is strict", func(t *testing.T) {
		o := find(render(t, namespace), "StatefulSet", "bastion")
		o["spec"].(object)["replica"] = 1
		if err := apply(o); err == nil || !strings.Contains(err.Error(), "replica") {
			t.Errorf("a field that does not exist: %v", err)
		}
	})
}

// The chart installs, tells what to do next with what is there, takes another value, and goes.
func TestInstall(t *testing.T) {
	_, _, namespace := cluster(t)
	do := func(t *testing.T, args ...string) string {
		t.Helper()
		out, errOut, err := helm(t, append(args, "--namespace", namespace)...)
		if err != nil {
			t.Fatalf("helm %v: %v: %s", args, err, errOut)
		}
		_, notes, _ := strings.Cut(out, "NOTES:")
		return notes
	}
	for _, tc := range []struct {
		set  string
		want []string
	}{
		{"agent.drainSeconds=10", []string{"daemonset/podbastion-agent", "statefulset/podbastion-bastion", "ssh -p 22 ACCOUNT@$(kubectl -n " + namespace + " get service podbastion-bastion"}},
		{"bastion.enabled=false", []string{"name this cluster main in otherClusters"}},
		{"bastion.service.type=NodePort", []string{"ADDRESS-OF-A-NODE"}},
		{"bastion.service.type=ClusterIP,bastion.service.port=2022", []string{"ssh -p 2022 ACCOUNT@podbastion-bastion." + namespace}},
	} {
		t.Run(tc.set, func(t *testing.T) {
			notes := do(t, "install", "podbastion", chart, "--set", tc.set)
			defer do(t, "uninstall", "podbastion")
			for _, want := range tc.want {
				if !strings.Contains(notes, want) {
					t.Errorf("the notes do not say %q:\n%s", want, notes)
				}
			}
			do(t, "upgrade", "podbastion", chart, "--set", tc.set, "--set", "agent.drainSeconds=11,bastion.ssh.maxChannels=3")
		})
	}
}

// The bastion's pod is one that a namespace takes which enforces the strictest of the Pod Security Standards.
func TestRestricted(t *testing.T) {
	client, _, namespace := cluster(t)
	ctx := context.Background()
	label := []byte(`{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}`)
	if _, err := client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).Patch(ctx, namespace, types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	list := render(t, namespace, "--set", "bastion.persistence.existingClaim=mine")
	create := func(kind, name string) error {
		spec := at(t, find(list, kind, name), "spec", "template", "spec").(object)
		spec["serviceAccountName"] = "podbastion" // which an API server looks for, also in a trial
		data, err := json.Marshal(object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "trial"}, "spec": spec})
		if err != nil {
			t.Fatal(err)
		}
		pod := &unstructured.Unstructured{}
		if err := pod.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		_, err = client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	account := &unstructured.Unstructured{Object: object{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": object{"name": "podbastion"}}}
	if _, err := client.Resource(corev1.SchemeGroupVersion.WithResource("serviceaccounts")).Namespace(namespace).Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := create("StatefulSet", "-bastion"); err != nil {
		t.Errorf("the bastion: %v", err)
	}
	if err := create("DaemonSet", "-agent"); err == nil || !strings.Contains(err.Error(), "hostPath") {
		t.Errorf("the agent, which is not such a pod: %v", err)
	}
}
