//go:build real

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// node is the name of the only node.
const node = "node1"

// cluster is the API server and the engine behind it. It does by hand what controllers and a kubelet would.
type cluster struct {
	api        *kubernetes.Clientset
	docker     string // the engine's address
	kubeconfig string
	pods       []*pod // in the order of their making
}

// pod is one pod with its containers.
type pod struct {
	namespace, name string
	uid             types.UID
	ip              string
	containers      map[string]string // name to container id
}

// podSpec says what to make.
type podSpec struct {
	namespace, name string
	labels          map[string]string
	annotations     map[string]string
	owner           *metav1.OwnerReference
	containers      []containerSpec
}

type containerSpec struct {
	name, image string
	args        []string // of docker run, for example --read-only
}

func need(t testing.TB, variable string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		t.Fatalf("%s is not set: run the tests through make test, or eval \"$(test/real/real.sh up)\" first", variable)
	}
	return v
}

func openCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{docker: need(t, "PODBASTION_DOCKER"), kubeconfig: need(t, "PODBASTION_KUBECONFIG")}
	conf, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c.alone(t)
	conf.QPS, conf.Burst = 100, 200
	if c.api, err = kubernetes.NewForConfig(conf); err != nil {
		t.Fatal(err)
	}
	return c
}

// held is this program's lock of the parts, until it ends.
var held struct {
	once sync.Once
	lock *os.File
	err  error
}

// alone waits for another run against the same parts to end: each clears the namespaces that it uses.
func (c *cluster) alone(t testing.TB) {
	t.Helper()
	held.once.Do(func() {
		if held.lock, held.err = os.OpenFile(c.kubeconfig+".lock", os.O_CREATE|os.O_RDWR, 0o600); held.err == nil {
			held.err = unix.Flock(int(held.lock.Fd()), unix.LOCK_EX)
		}
	})
	if held.err != nil {
		t.Fatal(held.err)
	}
}

func (c *cluster) engine(args ...string) (string, error) {
	var said strings.Builder
	cmd := exec.Command("docker", append([]string{"-H", c.docker}, args...)...)
	cmd.Stderr = &said // apart: docker run may complain while it tells the id
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func (c *cluster) namespace(ctx context.Context, name string) error {
	_, err := c.api.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	_, err = c.api.CoreV1().ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// deployment makes a Deployment and its ReplicaSet, and returns the reference that pods of it carry.
func (c *cluster) deployment(ctx context.Context, namespace, name string) (*metav1.OwnerReference, error) {
	labels := map[string]string{"app": name}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "none"}}}}
	d, err := c.api.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	yes := true
	rs, err := c.api.AppsV1().ReplicaSets(namespace).Create(ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-6d4b75cb6d", Labels: labels, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: "Deployment", Name: name, UID: d.UID, Controller: &yes}}},
		Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: rs.Name, UID: rs.UID, Controller: &yes}, nil
}

// run makes the pod in the API server, starts its containers as the kubelet would label them, and writes its status.
func (c *cluster) run(ctx context.Context, s podSpec) (*pod, error) {
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: s.labels, Annotations: s.annotations}, Spec: corev1.PodSpec{NodeName: node}}
	if s.owner != nil {
		object.OwnerReferences = []metav1.OwnerReference{*s.owner}
	}
	for _, k := range s.containers {
		object.Spec.Containers = append(object.Spec.Containers, corev1.Container{Name: k.name, Image: k.image})
	}
	made, err := c.api.CoreV1().Pods(s.namespace).Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("creating pod %s: %w", s.name, err)
	}
	p := &pod{namespace: s.namespace, name: s.name, uid: made.UID, containers: map[string]string{}}
	c.pods = append(c.pods, p)
	label := func(kind, container string) []string {
		return []string{"--label", "io.kubernetes.pod.namespace=" + s.namespace, "--label", "io.kubernetes.pod.name=" + s.name,
			"--label", "io.kubernetes.pod.uid=" + string(made.UID), "--label", "io.kubernetes.docker.type=" + kind,
			"--label", "io.kubernetes.container.name=" + container}
	}
	sandbox, err := c.engine(append(append([]string{"run", "-d"}, label("podsandbox", "POD")...), "podbastion/static:test")...)
	if err != nil {
		return nil, err
	}
	p.containers["POD"] = sandbox
	if p.ip, err = c.engine("inspect", "-f", "{{.NetworkSettings.IPAddress}}", sandbox); err != nil {
		return nil, err
	}
	status := corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: p.ip, PodIPs: []corev1.PodIP{{IP: p.ip}}, HostIP: "127.0.0.1",
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	for _, k := range s.containers {
		args := append([]string{"run", "-d", "--network", "container:" + sandbox}, k.args...)
		id, err := c.engine(append(append(args, label("container", k.name)...), k.image)...)
		if err != nil {
			return nil, err
		}
		p.containers[k.name] = id
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: k.name, Image: k.image, ContainerID: "docker://" + id, Ready: true,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		})
	}
	made.Status = status
	if _, err = c.api.CoreV1().Pods(s.namespace).UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
		return nil, fmt.Errorf("status of pod %s: %w", s.name, err)
	}
	return p, nil
}

// remove deletes the pod's containers and then the pod.
func (c *cluster) remove(ctx context.Context, p *pod) error {
	for _, id := range p.containers {
		if _, err := c.engine("rm", "-f", id); err != nil && !strings.Contains(err.Error(), "No such container") {
			return err
		}
	}
	var now int64
	err := c.api.CoreV1().Pods(p.namespace).Delete(ctx, p.name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// clear removes what a run that was cut off left in the namespaces.
func (c *cluster) clear(ctx context.Context, namespaces ...string) error {
	var now int64
	for _, n := range namespaces {
		ids, err := c.engine("ps", "-aq", "--filter", "label=io.kubernetes.pod.namespace="+n)
		if err != nil {
			return err
		}
		if ids != "" {
			if _, err := c.engine(append([]string{"rm", "-f"}, strings.Fields(ids)...)...); err != nil {
				return err
			}
		}
		list := metav1.ListOptions{}
		for _, err := range []error{
			c.api.CoreV1().Pods(n).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, list),
			c.api.AppsV1().Deployments(n).DeleteCollection(ctx, metav1.DeleteOptions{}, list),
			c.api.AppsV1().ReplicaSets(n).DeleteCollection(ctx, metav1.DeleteOptions{}, list),
		} {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// close removes all that was made.
func (c *cluster) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = c.clear(ctx, "shop", "infra") // what is left goes with the engine and the API server
}
