package store_test

import (
	"testing"

	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/bastion/store"
	"github.com/podbastion/podbastion/bastion/store/storetest"
)

var _ route.Index = (*store.Store)(nil)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store {
		s, err := store.New()
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
