package route

import (
	"time"

	"github.com/podbastion/podbastion/auth"
	"github.com/podbastion/podbastion/bastion/target"
)

// Candidate is a pod that an account may reach, as pickers and lists show it.
type Candidate struct {
	Cluster    target.Cluster
	Namespace  target.Namespace
	Pod        string
	Containers []string // those that the account may enter; the one that is meant when none is named comes first
	Default    bool     // Containers[0] is entered without being named
	Workload   string   // Kind/name of the topmost owner, empty for a bare pod
	Node       target.Node
	Running    bool
	Ready      bool
	Created    time.Time
}

// Address is what account types to get there and nowhere else.
func (c Candidate) Address(account string) target.Address {
	a := target.Address{Account: account, Cluster: c.Cluster, Namespace: c.Namespace, Pod: c.Pod}
	if !c.Default && len(c.Containers) > 0 {
		a.Container = c.Containers[0]
	}
	return a
}

func candidate(p *target.Pod, containers []string) Candidate {
	c := Candidate{Cluster: p.Cluster, Namespace: p.Namespace, Pod: p.Name, Containers: containers, Node: p.Node,
		Running: p.Running, Ready: p.Ready, Created: p.Created, Default: containers[0] == defaultContainer(p)}
	if n := len(p.Owners); n > 0 {
		c.Workload = p.Owners[n-1].Kind + "/" + p.Owners[n-1].Name
	}
	return c
}

func resource(p *target.Pod, container string) auth.Resource {
	return auth.Resource{Cluster: string(p.Cluster), Namespace: string(p.Namespace), Pod: p.Name, Labels: p.Labels, Container: container}
}

// wanted is the container that the address names, or means by naming none.
func wanted(addr target.Address, p *target.Pod) string {
	if addr.Container != "" {
		return addr.Container
	}
	return defaultContainer(p)
}

// defaultContainer is the one that the pod's annotation names, else the first.
func defaultContainer(p *target.Pod) string {
	if container(p, p.DefaultContainer) != nil {
		return p.DefaultContainer
	}
	if len(p.Containers) == 0 {
		return ""
	}
	return p.Containers[0].Name
}

func container(p *target.Pod, name string) *target.Container {
	for i := range p.Containers {
		if p.Containers[i].Name == name {
			return &p.Containers[i]
		}
	}
	return nil
}

// enterable lists a pod's running containers, the default one first.
func enterable(p *target.Pod) []target.Container {
	if !p.Running {
		return nil
	}
	first := defaultContainer(p)
	var out []target.Container
	for _, c := range p.Containers {
		switch {
		case !c.Running:
		case c.Name == first:
			out = append([]target.Container{c}, out...)
		default:
			out = append(out, c)
		}
	}
	return out
}
