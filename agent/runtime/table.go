package runtime

import "sync"

// Table is the picture of a node's containers that implementations keep. The zero value is empty and ready.
type Table struct {
	mu         sync.RWMutex // guards all below
	byID       map[string]Container
	containers map[Key]string
	networks   map[[2]string]string
}

// Put adds or replaces a container. A sandbox (a pod's pause container) only lends its network.
func (t *Table) Put(c Container, sandbox bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(c, sandbox)
}

func (t *Table) put(c Container, sandbox bool) {
	t.init()
	t.byID[c.ID] = c
	pod := [2]string{c.Namespace, c.Pod}
	if sandbox {
		t.networks[pod] = c.ID
		return
	}
	t.containers[c.Key] = c.ID
	if _, ok := t.networks[pod]; !ok {
		t.networks[pod] = c.ID
	}
}

// Delete forgets a container.
func (t *Table) Delete(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.byID[id]
	if !ok {
		return
	}
	delete(t.byID, id)
	if t.containers[c.Key] == id {
		delete(t.containers, c.Key)
	}
	pod := [2]string{c.Namespace, c.Pod}
	if t.networks[pod] != id {
		return
	}
	delete(t.networks, pod)
	for _, other := range t.byID {
		if other.Namespace == c.Namespace && other.Pod == c.Pod {
			t.networks[pod] = other.ID
			return
		}
	}
}

// Entry is what Put takes.
type Entry struct {
	Container
	Sandbox bool
}

// Replace forgets all and puts these in their place, at once.
func (t *Table) Replace(all []Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID = nil
	for _, e := range all {
		t.put(e.Container, e.Sandbox)
	}
}

// Find looks a container up.
func (t *Table) Find(k Key) (Container, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c, ok := t.byID[t.containers[k]]
	return c, ok
}

// Network looks up whose network namespace is the pod's.
func (t *Table) Network(namespace, pod string) (Container, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c, ok := t.byID[t.networks[[2]string{namespace, pod}]]
	return c, ok
}

// List returns all containers, sandboxes included.
func (t *Table) List() []Container {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := make([]Container, 0, len(t.byID))
	for _, c := range t.byID {
		list = append(list, c)
	}
	return list
}

func (t *Table) init() {
	if t.byID == nil {
		t.byID, t.containers, t.networks = map[string]Container{}, map[Key]string{}, map[[2]string]string{}
	}
}
