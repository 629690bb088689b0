package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/podbastion/podbastion/bastion/target"
)

const defaultContainer = "kubectl.kubernetes.io/default-container"

// record is what an informer keeps of an object, instead of the object: enough to tell it from others. What is to be
// fed goes along once and is taken out on its way.
type record struct {
	metav1.ObjectMeta
	pod    *target.Pod  // of a Pod, until it is fed
	parent target.Owner // of a ReplicaSet or a Job: the workload that made it
}

// newRecord is the informers' transform. What it does not know it leaves as it is.
func newRecord(cluster target.Cluster) func(any) (any, error) {
	return func(o any) (any, error) {
		switch o := o.(type) {
		case *corev1.Pod:
			return &record{ObjectMeta: identity(o.ObjectMeta), pod: newPod(cluster, o)}, nil
		case *metav1.PartialObjectMetadata:
			parent, _ := controller(o.OwnerReferences)
			return &record{ObjectMeta: identity(o.ObjectMeta), parent: parent}, nil
		}
		return o, nil
	}
}

func identity(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion}
}

func newPod(cluster target.Cluster, p *corev1.Pod) *target.Pod {
	out := &target.Pod{
		Cluster: cluster, Namespace: target.Namespace(p.Namespace), Name: p.Name, UID: target.UID(p.UID),
		Node: target.Node(p.Spec.NodeName), NodeAddress: p.Status.HostIP, Labels: p.Labels, Containers: containers(p),
		DefaultContainer: p.Annotations[defaultContainer], Created: p.CreationTimestamp.Time,
		Running: p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil,
		Ready: slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}),
	}
	for _, ip := range p.Status.PodIPs {
		out.IPs = append(out.IPs, ip.IP)
	}
	if len(out.IPs) == 0 && p.Status.PodIP != "" {
		out.IPs = []string{p.Status.PodIP}
	}
	if owner, ok := controller(p.OwnerReferences); ok {
		out.Owners = []target.Owner{owner}
	}
	return out
}

// containers lists those that can be entered: the pod's own, then sidecars, then debugging containers.
func containers(p *corev1.Pod) []target.Container {
	running := map[string]bool{}
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for _, s := range list {
			running[s.Name] = s.State.Running != nil
		}
	}
	var out []target.Container
	add := func(name string) { out = append(out, target.Container{Name: name, Running: running[name]}) }
	for _, c := range p.Spec.Containers {
		add(c.Name)
	}
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c.Name)
		}
	}
	for _, c := range p.Spec.EphemeralContainers {
		add(c.Name)
	}
	return slices.Clip(out)
}

// controller is the workload that made an object. A static pod's node is none.
func controller(refs []metav1.OwnerReference) (target.Owner, bool) {
	for _, r := range refs {
		if r.Controller != nil && *r.Controller && r.Kind != "Node" {
			return target.Owner{Kind: r.Kind, Name: r.Name}, true
		}
	}
	return target.Owner{}, false
}
