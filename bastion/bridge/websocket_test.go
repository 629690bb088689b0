package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	clientexec "k8s.io/client-go/util/exec"

	"github.com/podbastion/podbastion/agent/agenttest"
	"github.com/podbastion/podbastion/auth/grant"
)

// What the bastion does not use, but Kubernetes' own clients do: remotecommand over WebSocket, v4.
func TestWebSocket(t *testing.T) {
	a := agenttest.Start(t)
	for name, test := range map[string]struct {
		script, out, errOut string
		code                int
	}{
		"success": {"read line; echo got $line; echo oops >&2", "got input\n", "oops\n", 0},
		"failure": {"read line; echo $line; exit 2", "input\n", "", 2},
		"killed":  {"read line; echo $line; kill -KILL $$", "input\n", "", 137},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := a.Signer.Sign(grant.Grant{Kind: grant.Exec, Session: "ws-" + name, Account: "alice", Cluster: string(a.Target.Cluster),
				Namespace: string(a.Target.Namespace), Pod: a.Target.Pod, UID: string(a.Target.UID), Container: a.Target.Container, Node: string(a.Target.Node)})
			must(t, err)
			query := url.Values{"command": {"/bin/sh", "-c", test.script}, "input": {"1"}, "output": {"1"}, "error": {"1"}}
			to := "https://" + a.Address + "/exec/" + string(a.Target.Namespace) + "/" + a.Target.Pod + "/" + a.Target.Container + "?" + query.Encode()
			at := func(file string) string { return filepath.Join(a.Keys, file) }
			config := &rest.Config{BearerToken: token, TLSClientConfig: rest.TLSClientConfig{
				ServerName: agenttest.Node, CAFile: at("ca.crt"), CertFile: at("bastion.crt"), KeyFile: at("bastion.key")}}
			executor, err := remotecommand.NewWebSocketExecutorForProtocols(config, http.MethodGet, to, "v4.channel.k8s.io")
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			stdin, typed := io.Pipe() // v4 knows no end of input
			defer typed.Close()
			go func() { _, _ = io.WriteString(typed, "input\n") }()
			var out, errOut bytes.Buffer
			err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Stderr: &errOut})
			code := 0
			if exit := (clientexec.CodeExitError{}); errors.As(err, &exit) {
				code, err = exit.Code, nil
			}
			if err != nil || code != test.code || out.String() != test.out || errOut.String() != test.errOut {
				t.Errorf("%d %v, %q %q", code, err, out.String(), errOut.String())
			}
		})
	}
}
