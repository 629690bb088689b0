package facts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/podbastion/podbastion/agent/runtime"
)

// maxGroups bounds supplementary groups; Linux has 65536, NFS 16.
const maxGroups = 1024

// Credentials are the numbers that a process of a container's user has.
type Credentials struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
	Home     string   // "/" where the user database has none
}

// ReadCredentials finds the numbers of user, or of the container's own user when user is empty, as the runtime would
// for an exec: "name", "uid", each with ":group" or ":gid" after it if need be. Names are the container's own.
func ReadCredentials(c runtime.Container, user string) (Credentials, error) {
	if user == "" {
		user = c.User
	}
	name, group, _ := strings.Cut(user, ":")
	root, err := openRoot(c)
	if err != nil {
		return Credentials{}, err
	}
	defer root.Close()
	var f Facts
	if _, err := lookup(root, name, &f); err != nil {
		return Credentials{}, err
	}
	out := Credentials{UID: f.UID, GID: f.GID, Home: f.Home}
	if out.Home == "" {
		out.Home = "/"
	}
	if err := out.groups(root, f.User, group, c.Groups); err != nil {
		return Credentials{}, err
	}
	return out, nil
}

// groups reads /etc/group (group(5)). As with Docker and containerd a group that is named replaces those that the user
// is a member of; those that the pod adds (fsGroup, supplementalGroups) always count.
func (cr *Credentials) groups(root *os.File, user, group string, added []string) error {
	byName, members := map[string]uint32{}, []uint32(nil)
	file, err := openRegular(root, "/etc/group")
	if err == nil {
		defer file.Close()
		sc := bufio.NewScanner(io.LimitReader(file, maxPasswd))
		for sc.Scan() {
			fields := strings.Split(sc.Text(), ":")
			if len(fields) < 4 {
				continue
			}
			gid, err := strconv.ParseUint(fields[2], 10, 32)
			if err != nil {
				continue
			}
			byName[fields[0]] = uint32(gid)
			if slices.Contains(strings.Split(fields[3], ","), user) && len(members) < maxGroups {
				members = append(members, uint32(gid))
			}
		}
	}
	number := func(s string) (uint32, error) {
		if gid, ok := byName[s]; ok {
			return gid, nil
		}
		gid, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("facts: the container has no group %q", s)
		}
		return uint32(gid), nil
	}
	if group != "" {
		if cr.GID, err = number(group); err != nil {
			return err
		}
		members = nil
	}
	cr.Groups = members
	for _, s := range added {
		gid, err := number(s)
		if err != nil {
			return err
		}
		cr.Groups = append(cr.Groups, gid)
	}
	slices.Sort(cr.Groups)
	cr.Groups = slices.Compact(cr.Groups)
	return nil
}
