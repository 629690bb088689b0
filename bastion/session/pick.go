package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/podbastion/podbastion/bastion/bridge"
	"github.com/podbastion/podbastion/bastion/picker"
	"github.com/podbastion/podbastion/bastion/route"
	"github.com/podbastion/podbastion/internal/tty"
)

const (
	exitInterrupted = 130 // who leaves the picker leaves as with ^C
	pickTimeout     = 10 * time.Minute
)

// pick lets somebody with a terminal choose a container, and goes there.
func (r *run) pick(ctx context.Context, title string, candidates []route.Candidate) (bridge.Exit, error) {
	if len(candidates) == 0 {
		return r.print("no pods that you may reach\n")
	}
	places, items := choices(candidates)
	choosing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	leave, err := r.service.live.choose(r.id, cancel)
	if err != nil {
		return bridge.Exit{}, limitText(err, nil)
	}
	choice, err := r.choose(choosing, title, items)
	leave()
	if end := (*End)(nil); errors.As(context.Cause(choosing), &end) {
		return bridge.Exit{}, &refusal{err: end, code: exitTransport, text: end.Text}
	}
	if context.Cause(ctx) != nil {
		return bridge.Exit{Code: exitTransport}, nil //nolint:nilerr // the client is gone, and needs no reason
	}
	switch {
	case errors.Is(err, picker.ErrCancelled), errors.Is(err, io.EOF):
		return bridge.Exit{Code: exitInterrupted}, nil
	case err != nil:
		return bridge.Exit{}, &refusal{err: err, code: exitTransport, text: "nothing was chosen in time"}
	}
	if len(choice.Rest) > 0 {
		r.client.Stdin = io.MultiReader(bytes.NewReader(choice.Rest), r.client.Stdin)
	}
	access, err := r.service.access(r.login.Principal) // a new roles document counts, also one that came meanwhile
	if err != nil {
		return bridge.Exit{}, err
	}
	resolved, err := r.service.o.Router.Resolve(access, places[choice.Index].Address(string(access.Account())))
	if err != nil {
		return bridge.Exit{}, err // it went, or was not permitted any more, while somebody thought
	}
	return r.on(ctx, resolved)
}

// choices makes an item of every container of every candidate.
func choices(candidates []route.Candidate) ([]route.Candidate, []picker.Item) {
	var places []route.Candidate
	var items []picker.Item
	for _, c := range candidates {
		for i, container := range c.Containers {
			one := c
			one.Containers, one.Default = []string{container}, c.Default && i == 0
			note := c.Workload
			if !c.Ready {
				note = "not ready  " + note
			}
			text := fmt.Sprintf("%s+%s+%s", c.Cluster, c.Namespace, c.Pod)
			if len(c.Containers) > 1 {
				text += "~" + container
			}
			places = append(places, one)
			items = append(items, picker.Item{Text: text, Note: note})
		}
	}
	return places, items
}

// choose shows the picker, and leaves the terminal's newest size in the request.
func (r *run) choose(ctx context.Context, title string, items []picker.Item) (picker.Choice, error) {
	ctx, cancel := context.WithTimeout(ctx, pickTimeout)
	defer cancel()
	sizes, stop := make(chan tty.Size), make(chan struct{})
	var follow sync.WaitGroup
	size := r.request.Terminal.Size
	newest := size
	follow.Go(func() {
		for {
			select {
			case newest = <-r.client.Resizes:
			case <-stop:
				return
			}
			select {
			case sizes <- newest:
			case <-stop:
				return
			}
		}
	})
	choice, err := picker.Run(ctx, readWriter{r.client.Stdin, r.client.Stdout}, size, sizes, title, items)
	close(stop)
	follow.Wait()
	r.request.Terminal.Size = newest
	return choice, err
}

// readWriter is a terminal of two halves.
type readWriter struct {
	io.Reader
	io.Writer
}
