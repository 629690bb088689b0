package target

import (
	"errors"
	"fmt"
	"time"
)

// Scope is where to look. What is empty is not restricted.
type Scope struct {
	Cluster   Cluster
	Namespace Namespace
}

// Holds tells whether the pod lies in the scope.
func (s Scope) Holds(p *Pod) bool {
	return (s.Cluster == "" || s.Cluster == p.Cluster) && (s.Namespace == "" || s.Namespace == p.Namespace)
}

// Query asks an index for pods: those in the scope that meet the one condition that is set, or all of them when none is.
type Query struct {
	Scope
	Name     string
	IP       string // in any spelling that net/netip reads
	Owner    string // the name of a workload, whatever its kind
	Node     Node
	Selector Selector
}

// ClusterHealth is how far an index can be trusted about one cluster.
type ClusterHealth struct {
	Cluster  Cluster
	Synced   bool      // everything was listed at least once
	LastSeen time.Time // the cluster's last sign of life; zero: none yet
	Stale    bool      // what the index holds may be out of date: no contact for a while, or never synced
	Err      error     // what is wrong now; nil while nothing is. For logs and operators, not for clients
}

// Problem says what is wrong with what is known of the cluster, nil if it can be trusted. It is for operators.
func (h ClusterHealth) Problem(now time.Time) error {
	switch {
	case !h.Synced:
		return problem("its pods were not listed yet", h.Err)
	case h.Stale:
		return problem(fmt.Sprintf("out of date, last seen %s ago", now.Sub(h.LastSeen).Round(time.Second)), h.Err)
	}
	return nil
}

func problem(text string, err error) error {
	if err != nil {
		return fmt.Errorf("target: %s: %w", text, err)
	}
	return errors.New("target: " + text)
}
