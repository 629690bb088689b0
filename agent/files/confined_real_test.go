//go:build real

package files_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pkg/sftp"
	"github.com/sirupsen/logrus"

	"github.com/podbastion/podbastion/agent/files"
	"github.com/podbastion/podbastion/agent/runtime"
	"github.com/podbastion/podbastion/agent/runtime/runtimetest"
)

// docker runs the docker command and returns what it prints.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	return runtimetest.CLI(t, runtimetest.Docker(t), args...)
}

// container starts one of an image, with more arguments for docker run.
func container(t *testing.T, image string, args ...string) runtime.Container {
	t.Helper()
	run := append([]string{"run", "-d", "--network", "none"}, args...)
	id := docker(t, append(run, "podbastion/"+image+":test")...)
	t.Cleanup(func() { docker(t, "rm", "-f", id) })
	return inspect(t, id)
}

func inspect(t *testing.T, id string) runtime.Container {
	t.Helper()
	f := strings.Split(docker(t, "inspect", "-f", "{{.State.Pid}}|{{.Config.User}}|{{.Config.WorkingDir}}|{{join .HostConfig.GroupAdd \",\"}}", id), "|")
	pid, err := strconv.Atoi(f[0])
	if err != nil || pid == 0 {
		t.Fatalf("container %s: %q", id, f)
	}
	c := runtime.Container{ID: id, PID: pid, Group: id, User: f[1], WorkDir: f[2]}
	if f[3] != "" {
		c.Groups = strings.Split(f[3], ",")
	}
	return c
}

func sh(t *testing.T, c runtime.Container, script string) string {
	t.Helper()
	return docker(t, "exec", "-u", "0", c.ID, "sh", "-c", script)
}

func confined(t *testing.T) *files.Confined {
	t.Helper()
	log := logrus.New()
	log.SetOutput(testWriter{t})
	return files.NewConfined(log, helper(t))
}

// helper builds a program that can be a helper in any container; this test's own is linked dynamically under -race.
var buildHelper = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "files-helper")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/helper", "./helper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir + "/helper", nil
})

func helper(t *testing.T) string {
	t.Helper()
	path, err := buildHelper()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { w.t.Log(string(p)); return len(p), nil }

func TestRoundTrip(t *testing.T) {
	for _, image := range []string{"bash", "ash", "static"} {
		t.Run(image, func(t *testing.T) {
			c := container(t, image)
			_, client := open(t, confined(t), c, "", everything())
			content := make([]byte, 3<<20+17)
			_, _ = rand.Read(content)
			put(t, client, "up", content)
			if got := get(t, client, "up"); !bytes.Equal(got, content) {
				t.Error("what comes back is not what went")
			}
			names, err := client.ReadDir("/")
			if err != nil || len(names) < 3 {
				t.Errorf("the root lists as %v, %v", names, err)
			}
		})
	}
}

func put(t *testing.T, client *sftp.Client, path string, content []byte) {
	t.Helper()
	f, err := client.Create(path)
	if err != nil {
		t.Fatalf("create %s: %v", path, err)
	}
	if _, err := f.ReadFrom(bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, client *sftp.Client, path string) []byte {
	t.Helper()
	f, err := client.Open(path)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
