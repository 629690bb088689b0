package bastion

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	auditlog "github.com/podbastion/podbastion/audit/log"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/target"
)

func TestReady(t *testing.T) {
	seen := time.Now().Add(-5 * time.Minute)
	good := target.ClusterHealth{Cluster: "good", Synced: true, LastSeen: time.Now()}
	forbidden := target.ClusterHealth{Cluster: "forbidden", Synced: true, LastSeen: time.Now(), Err: errors.New("replicasets: forbidden")}
	stale := target.ClusterHealth{Cluster: "stale", Synced: true, LastSeen: seen, Stale: true, Err: errors.New("no route")}
	never := target.ClusterHealth{Cluster: "never", Stale: true, Err: errors.New("no route")}
	for name, c := range map[string]struct {
		health   []target.ClusterHealth
		draining bool
		ready    bool
		says     string // what some check's error must hold; empty: none has one
	}{
		"no clusters":             {nil, false, true, ""},
		"all well":                {[]target.ClusterHealth{good}, false, true, ""},
		"no right to replicasets": {[]target.ClusterHealth{forbidden}, false, true, "replicasets: forbidden"},
		"one of two was never in": {[]target.ClusterHealth{good, never}, false, true, "not listed yet"},
		"the only one is stale":   {[]target.ClusterHealth{stale}, false, true, "out of date, last seen 5m0s ago"},
		"none was ever in":        {[]target.ClusterHealth{never}, false, false, "not listed yet"},
		"being stopped":           {[]target.ClusterHealth{good}, true, false, "being stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			log, err := auditlog.Open(filepath.Join(t.TempDir(), "audit.jsonl"), auditlog.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			index, err := store.New()
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range c.health {
				if err := index.SetHealth(h); err != nil {
					t.Fatal(err)
				}
			}
			b := &Bastion{audit: log, index: index}
			b.draining.Store(c.draining)
			ready, said := true, ""
			for _, check := range b.ready() {
				if check.Err != nil {
					ready = ready && check.Minor
					said += check.Name + ": " + check.Err.Error() + "\n"
				}
			}
			if ready != c.ready || !strings.Contains(said, c.says) || (c.says == "") != (said == "") {
				t.Errorf("ready %v, said %q", ready, said)
			}
		})
	}
}
