package bastion

import (
	"testing"
	"time"

	"github.com/podbastion/podbastion/internal/settings"
)

// A cut network is noticed within seconds, unless somebody wants it otherwise; the network's own hiccups are not.
func TestKeepaliveDefaults(t *testing.T) {
	var c Config
	if err := settings.Load(&c, settings.Source{}); err != nil {
		t.Fatal(err)
	}
	silent := c.SSH.KeepaliveInterval * time.Duration(c.SSH.KeepaliveMisses+1)
	if longest := silent + c.SSH.KeepaliveInterval; silent < 10*time.Second || longest > 20*time.Second {
		t.Errorf("a silent client is given up after %s to %s", silent, longest)
	}
}
