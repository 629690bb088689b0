package session

import (
	"context"
	"testing"
	"time"

	"github.com/podbastion/podbastion/bastion/bridge"
)

// late is a node whose first answer about a shell's files comes when nobody waits for it any more, and that does not tell
// on a connection what it has told there.
type late struct {
	Node
	connections int
}

func (n *late) Terminal(context.Context, bridge.Start) (bridge.TerminalConn, error) {
	n.connections++
	return &lateConn{node: n, first: n.connections == 1}, nil
}

type lateConn struct {
	bridge.TerminalConn
	node  *late
	first bool
}

func (c *lateConn) Close() error { return nil }

func (c *lateConn) Files(ctx context.Context) (bridge.ShellFiles, error) {
	if c.first {
		<-ctx.Done()
		return bridge.ShellFiles{}, ctx.Err()
	}
	return bridge.ShellFiles{Command: "bash", Files: []bridge.ShellFile{{Keys: true, Text: `"\C-t": accept-line`}}}, nil
}

// What a node told when nobody waited is asked for anew.
func TestKeysToldTooLate(t *testing.T) {
	terminal := &terminal{node: &late{}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := terminal.Keys(ctx); err == nil {
		t.Error("it did not come late")
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	shell, bound, err := terminal.Keys(ctx)
	if shell != "bash" || len(bound) != 1 || err != nil {
		t.Errorf("%q %+v %v", shell, bound, err)
	}
	if n := terminal.node.(*late).connections; n != 2 {
		t.Errorf("%d connections", n)
	}
}
