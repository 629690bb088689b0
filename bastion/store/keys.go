package store

import (
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/podbastion/podbastion/bastion/target"
)

// key ends every part with a NUL, so that no part can run into the next one and every list of leading parts is a
// prefix.
func key(parts ...string) []byte {
	n := 0
	for _, p := range parts {
		n += len(p) + 1
	}
	out := make([]byte, 0, n)
	for _, p := range parts {
		out = append(append(out, p...), 0)
	}
	return out
}

// The name comes first so that one look-up finds it in every namespace.
func podKey(p *target.Pod) []byte {
	return key(p.Name, string(p.Cluster), string(p.Namespace))
}

func uidKey(p *target.Pod) []byte {
	if p.UID == "" {
		return nil
	}
	return key(string(p.Cluster), string(p.UID))
}

func ipKeys(p *target.Pod) [][]byte {
	out := make([][]byte, 0, len(p.IPs))
	for _, s := range p.IPs {
		if ip, err := netip.ParseAddr(s); err == nil {
			out = append(out, key(ip.Unmap().String()))
		}
	}
	return out
}

// proper tells whether the pod can be named in an address, which also keeps its names from breaking out of a path, a
// log line or a terminal.
func proper(p *target.Pod) bool {
	if !properName(p.Name) || !properName(string(p.Cluster)) || !properName(string(p.Namespace)) {
		return false
	}
	return !slices.ContainsFunc(p.Containers, func(c target.Container) bool { return !properName(c.Name) })
}

func properName(s string) bool {
	if s == "" || strings.Contains(s, "..") || strings.HasPrefix(s, ".") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') })
}

// single and multi index rows by the key that they compute, and are asked with such a key or a prefix of one.
type single func(any) []byte

func (f single) FromObject(o any) (bool, []byte, error) {
	k := f(o)
	return k != nil, k, nil
}

func (single) FromArgs(args ...any) ([]byte, error) { return args[0].([]byte), nil }

type multi func(any) [][]byte

func (f multi) FromObject(o any) (bool, [][]byte, error) {
	k := f(o)
	return len(k) > 0, k, nil
}

func (multi) FromArgs(args ...any) ([]byte, error) { return args[0].([]byte), nil }

// rows goes through the rows whose key begins with prefix.
func rows[T any](txn *memdb.Txn, table, index string, prefix []byte) iter.Seq[T] {
	return func(yield func(T) bool) {
		it, err := txn.Get(table, index, prefix)
		if err != nil {
			return
		}
		for o := it.Next(); o != nil; o = it.Next() {
			if !yield(o.(T)) {
				return
			}
		}
	}
}

// first returns the row with that very key, or nothing.
func first[T any](txn *memdb.Txn, table string, k []byte) (none T, _ error) {
	o, err := txn.First(table, byID, k)
	if err != nil || o == nil {
		return none, err
	}
	return o.(T), nil
}
