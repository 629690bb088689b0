package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/docker"
	"github.com/podbastion/podbastion/agent/runtime/process"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
)

const (
	workload  = "web"
	replicas  = "web-6c9f7d8b54"
	singleton = "debug"
)

// pretend are the pods of the demo: a Deployment of two, and one alone in another namespace.
func pretend() []process.Pod {
	return []process.Pod{
		{Namespace: "shop", Name: replicas + "-4kq2x", UID: "0b0f8a52-7f3c-4f5e-9a51-6d0c2f6f1a01", Container: "app"},
		{Namespace: "shop", Name: replicas + "-n8w5t", UID: "0b0f8a52-7f3c-4f5e-9a51-6d0c2f6f1a02", Container: "app"},
		{Namespace: "infra", Name: singleton, UID: "0b0f8a52-7f3c-4f5e-9a51-6d0c2f6f1a03", Container: "tools"},
	}
}

// pretendPods makes their folders.
func pretendPods(dir string) ([]process.Pod, error) {
	pods := pretend()
	for i, p := range pods {
		pods[i].Dir = filepath.Join(dir, p.Namespace, p.Name)
		if err := os.MkdirAll(pods[i].Dir, 0o700); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		text := fmt.Sprintf("This folder pretends to be the root of pod %s in namespace %s.\nWhat runs here runs on the machine itself.\n", p.Name, p.Namespace)
		if err := writeNew(filepath.Join(pods[i].Dir, "README"), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return pods, nil
}

// pretendFeeder tells the index of the pretend pods, once.
type pretendFeeder struct{ index *store.Store }

// Run implements bastion.Feeder.
func (f *pretendFeeder) Run(ctx context.Context) error {
	var pods []*target.Pod
	for i, p := range pretend() {
		pod := &target.Pod{
			Cluster: cluster, Namespace: target.Namespace(p.Namespace), Name: p.Name, UID: target.UID(p.UID), Node: node, NodeAddress: "127.0.0.1",
			Labels: map[string]string{"app": singleton}, Containers: []target.Container{{Name: p.Container, Running: true}},
			Running: true, Ready: true, Created: time.Now().Add(time.Duration(i) * time.Second),
		}
		if p.Namespace == "shop" {
			pod.Labels = map[string]string{"app": workload}
			pod.Owners = []target.Owner{{Kind: "ReplicaSet", Name: replicas}, {Kind: "Deployment", Name: workload}}
		}
		pods = append(pods, pod)
	}
	if err := f.index.ReplaceCluster(cluster, pods); err != nil {
		return err
	}
	if err := f.index.SetHealth(target.ClusterHealth{Cluster: cluster, Synced: true, LastSeen: time.Now()}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// lookEvery is how often the engine's picture, which its events keep fresh, is looked at for changes.
const lookEvery = 250 * time.Millisecond

// engineFeeder tells the index of a Docker Engine's labelled containers.
type engineFeeder struct {
	engine *docker.Runtime
	index  *store.Store
	log    logrus.FieldLogger
}

// Run implements bastion.Feeder.
func (f *engineFeeder) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	seen := map[string]time.Time{} // since when a pod is known
	last := "-"
	for {
		list := f.engine.List()
		if now := describe(list); now != last {
			last = now
			switch err := f.index.ReplaceCluster(cluster, enginePods(list, seen)); {
			case errors.Is(err, store.ErrName): // anybody may label a container: the others are there all the same
				f.log.Warn(err)
			case err != nil:
				return err
			}
		}
		err := f.engine.Ready()
		h := target.ClusterHealth{Cluster: cluster, Synced: true, Stale: err != nil, LastSeen: time.Now(), Err: err}
		if err := f.index.SetHealth(h); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func describe(list []runtime.Container) string {
	var lines []string
	for _, c := range list {
		lines = append(lines, c.ID+" "+c.String()+" "+c.UID)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func enginePods(list []runtime.Container, seen map[string]time.Time) []*target.Pod {
	slices.SortFunc(list, func(a, b runtime.Container) int { return strings.Compare(a.String(), b.String()) })
	known := map[string]*target.Pod{}
	var pods []*target.Pod
	for _, c := range list {
		if c.Container == "" || c.Container == "POD" { // sandboxes
			continue
		}
		// The name too: labels that were given by hand may be the same.
		id := c.Namespace + "/" + c.Pod + "/" + c.UID
		p := known[id]
		if p == nil {
			if seen[id].IsZero() {
				seen[id] = time.Now()
			}
			p = &target.Pod{
				Cluster: cluster, Namespace: target.Namespace(c.Namespace), Name: c.Pod, UID: target.UID(c.UID), Node: node, NodeAddress: "127.0.0.1",
				Running: true, Ready: true, Created: seen[id],
			}
			known[id] = p
			pods = append(pods, p)
		}
		p.Containers = append(p.Containers, target.Container{Name: c.Container, ID: "docker://" + c.ID, Running: true})
	}
	for id := range seen {
		if known[id] == nil {
			delete(seen, id)
		}
	}
	return pods
}
