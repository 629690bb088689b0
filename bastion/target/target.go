// Package target owns the words for where a session goes: the address grammar that a client types as its user name,
// the pods that an index knows, and the target that an address resolved to. It does no lookup and knows no account.
package target

import "time"

// Domain strings. They are types so that a namespace is never handed over where a pod name is meant.
type (
	Cluster   string
	Namespace string
	Node      string
	UID       string
)

// Target is what a session is bound to once its address is resolved and permitted. A session never moves to another
// pod UID than the one that it was authorised for.
type Target struct {
	Cluster   Cluster   `json:"cluster"`
	Namespace Namespace `json:"namespace"`
	Pod       string    `json:"pod"`
	UID       UID       `json:"uid"`
	Container string    `json:"container"`
	Node      Node      `json:"node"`
	// NodeAddress is the host or IP under which the node's agent is reached; the agent proves Node by certificate.
	NodeAddress string `json:"-"`
}

// Pod is one pod as an index knows it. Values are shared and must not be modified.
type Pod struct {
	Cluster          Cluster
	Namespace        Namespace
	Name             string
	UID              UID
	IPs              []string
	Node             Node
	NodeAddress      string // status.hostIP
	Owners           []Owner
	Labels           map[string]string
	Containers       []Container // in the order of the spec
	DefaultContainer string      // kubectl.kubernetes.io/default-container, if set
	Running          bool        // phase Running and not being deleted
	Ready            bool        // condition Ready
	Created          time.Time
}

// Owner is a workload that a pod belongs to. A pod of a Deployment has both the ReplicaSet and the Deployment here.
type Owner struct {
	Kind string
	Name string
}

// Container is one container of a pod.
type Container struct {
	Name    string
	ID      string // runtime://id as the kubelet wrote it, may be empty
	Running bool
}
