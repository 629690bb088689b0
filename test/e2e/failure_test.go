//go:build real

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// running waits until a program runs in the container.
func (w *world) running(t testing.TB, p *pod, what string) {
	t.Helper()
	eventually(t, 15*time.Second, func() error {
		if got, _ := w.engine("exec", p.containers["app"], "ps", "-eo", "args"); !strings.Contains(got, what) {
			return fmt.Errorf("%s does not run: %s", what, got)
		}
		return nil
	})
}

// victim makes a pod that the test may do to as it likes, and waits until the bastion reaches it.
func (w *world) victim(t testing.TB, namespace, name string) *pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := w.run(ctx, podSpec{namespace: namespace, name: name, containers: []containerSpec{{name: "app", image: "podbastion/ash:test"}}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		if got := w.ssh(t, "alice+"+namespace+"+"+name, nil, "true"); got.code != 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	return p
}

func (w *world) gone(t testing.TB, p *pod, what string) {
	t.Helper()
	eventually(t, 15*time.Second, func() error {
		if got, err := w.engine("exec", p.containers["app"], "ps", "-eo", "args"); err != nil || strings.Contains(got, what) {
			return fmt.Errorf("%s still runs: %s %s", what, got, fmt.Sprint(err))
		}
		return nil
	})
}

// The agent dies at once: the session ends as a lost connection, with a word, and nothing of it is left in the container.
func TestAgentKilled(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	debug := w.pod("infra", "debug")
	x := w.terminal(t, "alice+infra+debug")
	x.expect(prompt)
	x.send("trap '' HUP; sleep 5811\r")
	w.running(t, debug, "sleep 5811")
	if err := w.agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := x.code(); code != 255 {
		t.Errorf("code %d, want 255; screen %q", code, x.screen())
	}
	if !strings.Contains(strings.ToLower(x.screen()), "lost") {
		t.Errorf("no word of it on the screen: %q", x.screen())
	}
	w.gone(t, debug, "sleep 5811")
	<-w.agent.ended
	w.startAgent(t)
	eventually(t, 20*time.Second, func() error {
		if got := w.ssh(t, "alice+infra+debug", nil, "echo back"); got.stdout != "back\n" {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// The container is killed under the session.
func TestContainerKilled(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	victim := w.victim(t, "shop", "killed")
	x := w.terminal(t, "alice+shop+killed")
	x.expect(prompt)
	if _, err := w.engine("kill", victim.containers["app"]); err != nil {
		t.Fatal(err)
	}
	if code := x.code(); code != 137 && code != 255 {
		t.Errorf("code %d, want 137 or 255; screen %q", code, x.screen())
	}
}

// The pod goes and another of its name comes: the session ends, and a new one is in the new pod.
func TestPodReplaced(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	victim := w.victim(t, "shop", "replaced")
	x := w.terminal(t, "alice+shop+replaced")
	x.expect(prompt)
	if err := w.remove(ctx, victim); err != nil {
		t.Fatal(err)
	}
	if code := x.code(); code == 0 {
		t.Errorf("code 0; screen %q", x.screen())
	}
	w.victim(t, "shop", "replaced")
	eventually(t, 20*time.Second, func() error {
		if got := w.ssh(t, "alice+shop+replaced", nil, "echo fresh"); got.stdout != "fresh\n" {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// A role that is taken away ends the sessions that it opened; a broken document changes nothing.
func TestReload(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	x := w.terminal(t, "bob+shop+web")
	x.expect(prompt)
	w.roles(t, func(s string) string { return s + "\nnonsense: true\n" })
	eventually(t, 15*time.Second, func() error {
		if len(w.events(t, func(e map[string]any) bool {
			return e["type"] == "policy.reload" && e["outcome"] == "refused" && e["reason"] != nil
		})) == 0 {
			return fmt.Errorf("the refused document is not in the log")
		}
		return nil
	})
	x.send("echo still here\r")
	x.expect(`still here\r\n`)
	w.roles(t, func(s string) string { return strings.Replace(s, "roles: [shop-only]", "roles: [as-dev]", 1) })
	if code := x.code(); code == 0 {
		t.Errorf("code 0; screen %q", x.screen())
	}
}

// A SIGHUP is answered in the log, also when there was nothing to do.
func TestHangup(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	before := w.bastion.tail()
	if strings.Contains(before, "read again") {
		t.Fatal(before)
	}
	if err := w.bastion.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		if !strings.Contains(w.bastion.tail(), "roles document was read again: it is unchanged") {
			return fmt.Errorf("not in %s", w.bastion.tail())
		}
		return nil
	})
	if got := w.ssh(t, "alice+infra+debug", nil, "echo on"); got.stdout != "on\n" {
		t.Errorf("%+v", got)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	one, two := w.terminal(t, "short+shop+tool-0"), w.terminal(t, "short+shop+tool-0")
	one.expect(prompt)
	two.expect(prompt)
	if got := w.ssh(t, "short+shop+tool-0", nil, "true"); got.code == 0 {
		t.Errorf("a third session: %+v", got)
	}
	if code := one.code(); code == 0 || !strings.Contains(one.screen(), "nothing was typed or printed for 8s") {
		t.Errorf("an idle session: code %d, screen %q", code, one.screen())
	}
	two.code()
	if len(w.events(t, func(e map[string]any) bool { return e["type"] == "limit.hit" })) == 0 {
		t.Error("no limit.hit in the audit log")
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	x := w.terminal(t, "alice+infra+debug")
	x.expect(prompt)
	if err := w.bastion.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	x.expect(`(?i)shut|stop|maintenance|drain`)
	if c, err := net.DialTimeout("tcp", w.addr, time.Second); err == nil {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if line, _ := io.ReadAll(c); strings.HasPrefix(string(line), "SSH-") {
			t.Error("a draining bastion takes logins")
		}
		_ = c.Close()
	}
	x.send("exit 4\r")
	if code := x.code(); code != 4 {
		t.Errorf("a session that ends in time: code %d", code)
	}
	<-w.bastion.ended
}

// The client's network is cut: the processes in the container end all the same.
func TestNetworkCut(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close()
	debug := w.pod("infra", "debug")
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	cut := make(chan struct{})
	direct := w.addr
	go func() {
		a, err := proxy.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", direct)
		if err != nil {
			return
		}
		pipe := func(to, from net.Conn) {
			buf := make([]byte, 32<<10)
			for {
				n, err := from.Read(buf)
				select {
				case <-cut: // swallowed: neither end learns of it
					if err != nil {
						return
					}
					continue
				default:
				}
				if err != nil {
					return
				}
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
		}
		go pipe(a, b)
		pipe(b, a)
	}()
	w.addr = proxy.Addr().String()
	x := w.terminal(t, "alice+infra+debug")
	x.expect(prompt)
	x.send("sleep 5822\r")
	w.running(t, debug, "sleep 5822")
	close(cut)
	w.addr = direct
	eventually(t, 60*time.Second, func() error {
		if got, err := w.engine("exec", debug.containers["app"], "ps", "-eo", "args"); err != nil || strings.Contains(got, "sleep 5822") {
			return fmt.Errorf("still running: %s %s", got, fmt.Sprint(err))
		}
		return nil
	})
}
