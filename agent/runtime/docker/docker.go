// Package docker is the runtime on a Docker Engine whose containers carry the labels that the kubelet's Docker
// integration gave them. It is the only importer of the Docker client.
package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/proc"
)

// Labels of pods' containers.
const (
	labelNamespace = "io.kubernetes.pod.namespace"
	labelPod       = "io.kubernetes.pod.name"
	labelUID       = "io.kubernetes.pod.uid"
	labelContainer = "io.kubernetes.container.name"
	labelType      = "io.kubernetes.docker.type"
)

// callTimeout bounds one question to the engine.
const callTimeout = 20 * time.Second

// Runtime implements runtime.Runtime.
type Runtime struct {
	api   *client.Client
	table runtime.Table
	log   func(format string, args ...any)
	ender proc.Ender

	mu    sync.Mutex // guards ready
	ready error
}

// New connects to the engine at host ("" for the environment's).
func New(host string, log func(format string, args ...any)) (*Runtime, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	return &Runtime{api: api, log: log, ready: errors.New("docker: not asked yet")}, nil
}

// Name implements runtime.Runtime.
func (r *Runtime) Name() string { return "docker" }

// Close ends idle connections to the engine.
func (r *Runtime) Close() error { return r.api.Close() }

// Ready implements runtime.Runtime.
func (r *Runtime) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready
}

// Find implements runtime.Runtime.
func (r *Runtime) Find(k runtime.Key) (runtime.Container, bool) { return r.table.Find(k) }

// Network implements runtime.Runtime.
func (r *Runtime) Network(namespace, pod string) (runtime.Container, bool) {
	return r.table.Network(namespace, pod)
}

// List returns every container of every pod, for those who make an index of it.
func (r *Runtime) List() []runtime.Container { return r.table.List() }

// Run implements runtime.Runtime: it follows the engine's events, and starts over with a full look whenever the
// stream of events breaks, as it does when the engine restarts.
func (r *Runtime) Run(ctx context.Context) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		began := time.Now()
		err := r.follow(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.setReady(err)
		r.log("docker: lost the engine's events, trying again: %v", err)
		if time.Since(began) > 10*time.Second {
			pause = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (r *Runtime) setReady(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = err
}

func (r *Runtime) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Listening starts before looking, so that nothing falls between the two.
	msgs, errs := r.api.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", labelPod),
		filters.Arg("event", "start"), filters.Arg("event", "die"), filters.Arg("event", "destroy"), filters.Arg("event", "restart"),
	)})
	if err := r.look(ctx); err != nil {
		return err
	}
	r.setReady(nil)
	for {
		select {
		case err := <-errs:
			if err == nil {
				err = errors.New("docker: the stream of events ended")
			}
			return err
		case m := <-msgs:
			switch m.Action {
			case events.ActionDie, events.ActionDestroy:
				r.table.Delete(m.Actor.ID)
			default:
				e, running, err := r.inspect(ctx, m.Actor.ID)
				switch {
				case running:
					r.table.Put(e.Container, e.Sandbox)
				case err != nil && !errdefs.IsNotFound(err):
					return err
				default:
					r.table.Delete(m.Actor.ID)
				}
			}
		}
	}
}

func (r *Runtime) look(ctx context.Context) error {
	listCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := r.api.ContainerList(listCtx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", labelPod))})
	if err != nil {
		return fmt.Errorf("docker: listing containers: %w", err)
	}
	var all []runtime.Entry
	for _, c := range list {
		e, running, err := r.inspect(ctx, c.ID)
		switch {
		case errdefs.IsNotFound(err):
		case err != nil:
			return err
		case running:
			all = append(all, e)
		}
	}
	r.table.Replace(all)
	return nil
}

func (r *Runtime) inspect(ctx context.Context, id string) (e runtime.Entry, running bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := r.api.ContainerInspect(ctx, id)
	if err != nil {
		return e, false, fmt.Errorf("docker: inspecting container %.12s: %w", id, err)
	}
	if c.ContainerJSONBase == nil || c.State == nil || !c.State.Running || c.Config == nil {
		return e, false, nil
	}
	var groups []string
	if c.HostConfig != nil {
		groups = c.HostConfig.GroupAdd
	}
	l := c.Config.Labels
	key := runtime.Key{Namespace: l[labelNamespace], Pod: l[labelPod], Container: l[labelContainer]}
	return runtime.Entry{
		Container: runtime.Container{
			Key: key,
			UID: cmp.Or(l[labelUID], key.Namespace+"."+key.Pod), // labelled by hand, it is known by its name alone
			ID:  c.ID, PID: c.State.Pid, Group: c.ID, User: c.Config.User, Groups: groups, WorkDir: c.Config.WorkingDir,
		},
		Sandbox: l[labelType] == "podsandbox",
	}, true, nil
}
