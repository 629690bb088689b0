//go:build real

package docker_test

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/docker"
	"github.com/podbastion/podbastion/agent/runtime/runtimetest"
)

// runContainer starts a pod's container as the kubelet would label it.
func runContainer(t *testing.T, host, image, pod, uid string) string {
	t.Helper()
	id := runtimetest.CLI(t, host, "run", "-d", "--init=false", "--network", "none",
		"--label", "io.kubernetes.pod.namespace=conformance", "--label", "io.kubernetes.pod.name="+pod,
		"--label", "io.kubernetes.pod.uid="+uid, "--label", "io.kubernetes.container.name=app",
		"--label", "io.kubernetes.docker.type=container", image)
	t.Cleanup(func() { _ = exec.Command("docker", "-H", host, "rm", "-f", id).Run() })
	return id
}

func TestConformance(t *testing.T) {
	host := runtimetest.Docker(t)
	for _, image := range []string{"bash", "ash"} {
		t.Run(image, func(t *testing.T) {
			runContainer(t, host, "podbastion/"+image+":test", "pod-"+image, "uid-"+image)
			defer goleak.VerifyNone(t)
			r, err := docker.New(host, t.Logf)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Errorf("Run ended with %v", err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}()
			runtimetest.Run(t, runtimetest.Subject{
				Runtime: r, Shell: runtime.Key{Namespace: "conformance", Pod: "pod-" + image, Container: "app"}, UID: "uid-" + image,
			})
		})
	}
}
