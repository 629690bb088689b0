//go:build real

package e2e

import (
	"bufio"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// A client's signal, and its break, reach what runs in the container: not only as the end of the session.
func TestSignalRequests(t *testing.T) {
	w := sharedWorld(t)
	c := w.login(t, "alice", "alice+infra+debug")
	for name, test := range map[string]struct {
		send         func(s *ssh.Session) error
		trapped, end string // of a program that catches it, and the signal that ends one that does not
		status       int
	}{
		"signal": {func(s *ssh.Session) error { return s.Signal(ssh.SIGTERM) }, "TERM", "TERM", 143},
		"break": {func(s *ssh.Session) error {
			_, err := s.SendRequest("break", true, ssh.Marshal(struct{ Milliseconds uint32 }{500}))
			return err
		}, "INT", "INT", 130},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(command string) (line string, err error) {
				s, err := c.NewSession()
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				out, err := s.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Start(command); err != nil {
					t.Fatal(err)
				}
				ended := time.AfterFunc(20*time.Second, func() { _ = s.Close() })
				defer ended.Stop()
				r := bufio.NewReader(out)
				if ready, err := r.ReadString('\n'); ready != "ready\n" {
					t.Fatalf("%q %v", ready, err)
				}
				if err := test.send(s); err != nil {
					t.Fatal(err)
				}
				line, _ = r.ReadString('\n')
				return line, s.Wait()
			}
			line, err := run("trap 'echo caught; exit 7' " + test.trapped + "; echo ready; while :; do sleep 0.1; done")
			var exit *ssh.ExitError
			if line != "caught\n" || !errors.As(err, &exit) || exit.ExitStatus() != 7 {
				t.Errorf("a program that catches it: %q %v", line, err)
			}
			_, err = run("echo ready; exec sleep 100")
			if !errors.As(err, &exit) || exit.ExitStatus() != test.status || exit.Signal() != test.end {
				t.Errorf("one that does not: %v", err)
			}
		})
	}
}
