//go:build real

package files_test

import (
	"fmt"
	"strings"
	"testing"
)

// playbook uses every module that the documentation promises, and checks what each of them did.
const playbook = `
- hosts: pods
  gather_facts: false
  vars: {greeting: hello}
  tasks:
    - ping:
    - setup: {gather_subset: [min]}
    - assert: {that: 'ansible_distribution == "Debian"'}
    - file: {path: "{{ dir }}", state: directory, mode: "0750"}
      tags: transfer
    - copy: {src: SRC, dest: "{{ dir }}/copied", mode: "0600"}
      tags: transfer
    - stat: {path: "{{ dir }}/copied", checksum_algorithm: sha256}
      register: copied
    - assert: {that: 'copied.stat.mode == "0600" and copied.stat.checksum == sum'}
    - copy: {content: "relative", dest: "relative-{{ dir | basename }}"}
    - shell: cat ~/relative-{{ dir | basename }}
      register: relative
    - assert: {that: 'relative.stdout == "relative"'}
    - command: pwd
      register: directory
    - assert: {that: 'directory.stdout == "/home/dev"'}
    - template: {src: TEMPLATE, dest: "{{ dir }}/templated"}
    - lineinfile: {path: "{{ dir }}/templated", line: "another line"}
    - command: cat {{ dir }}/templated
      register: lines
    - assert: {that: 'lines.stdout_lines == ["hello from " + inventory_hostname, "another line"]'}
    - shell: echo $((1 + 2)) | sed 's/3/three/'; exit 5
      register: shell
      failed_when: shell.rc != 5
    - assert: {that: 'shell.stdout == "three"'}
    - fetch: {src: "{{ dir }}/copied", dest: "{{ fetched }}/"}
      tags: transfer
    - synchronize: {src: TREE/, dest: "{{ dir }}/tree"}
    - stat: {path: "{{ dir }}/tree/big", checksum_algorithm: sha256}
      register: tree
    - assert: {that: 'tree.stat.checksum == bigsum'}
    - command: id -u
      become: true
      register: root
    - command: id -u
      register: user
    - assert: {that: 'root.stdout == "0" and user.stdout == uid | string'}
`

// ansibleFiles writes the playbook and what it copies. It returns the variables that a host of it needs, and the tree.
func (w *world) ansibleFiles(t testing.TB) (variables, tree string) {
	t.Helper()
	tree = w.tree(t, "tree", 20, plain...)
	sum := strings.Fields(w.ok(t, "", "sha256sum", tree+"/script", tree+"/big"))
	w.file(t, "greeting.j2", "{{ greeting }} from {{ inventory_hostname }}\n")
	w.file(t, "play.yaml", strings.NewReplacer("SRC", tree+"/script", "TEMPLATE", w.path("greeting.j2"), "TREE", tree).Replace(playbook))
	return "[all:vars]\nansible_ssh_private_key_file=" + w.path("id") + "\nansible_python_interpreter=/usr/bin/python3\nuid=1000\nsum=" + sum[0] + "\nbigsum=" + sum[2] + "\n", tree
}

// setting is how Ansible copies files and starts modules.
type setting struct {
	method, pipelining string
	all                bool // tasks of the playbook, on all pods; otherwise those that move files, in which settings differ, on one
}

// newAnsible is a world of three pods that Ansible can use, and one without python.
func newAnsible(t testing.TB) (w *world, tree string) {
	t.Helper()
	w = newWorld(t)
	w.at = "127.0.0.2" // synchronize takes 127.0.0.1 for this very machine and copies beside the bastion
	var hosts strings.Builder
	for i := range 3 {
		name := fmt.Sprintf("p%d", i)
		w.pod(t, name, "podbastion/ansible:test")
		fmt.Fprintf(&hosts, "%s ansible_user=dev+%s\n", name, name)
	}
	w.pod(t, "bare", "podbastion/ash:test")
	w.demo(t)
	variables, tree := w.ansibleFiles(t)
	w.file(t, "hosts", "[pods]\n"+hosts.String()+"[bare]\nbare0 ansible_user=alice+bare\n"+variables+"ansible_host="+w.at+"\nansible_port="+w.port+"\n")
	return w, tree
}

// play runs the playbook over the three pods at once, or over one.
func (w *world) play(t *testing.T, tree string, x setting) {
	t.Helper()
	dir, fetched := "/tmp/t-"+x.method+x.pipelining, w.path("fetched-"+x.method+x.pipelining)
	pods := 3
	args := []string{"-i", w.path("hosts"), w.path("play.yaml"), "-e", "dir=" + dir + " fetched=" + fetched}
	if !x.all {
		pods = 1
		args = append(args, "--tags", "transfer", "--limit", "p0")
	}
	out := w.ansible(t, x.method, x.pipelining, "ansible-playbook", args...)
	if strings.Count(out, "unreachable=0") != pods || strings.Count(out, "failed=0") != pods {
		t.Error(out)
	}
	for i := range pods {
		w.ok(t, "", "cmp", fmt.Sprintf("%s/p%d%s/copied", fetched, i, dir), tree+"/script")
	}
}

// Every module once, and every way in which files travel, with pipelining and without. All modules in every setting take
// a quarter of an hour: that is TestAnsibleInEverySetting.
func TestAnsible(t *testing.T) {
	t.Parallel()
	w, tree := newAnsible(t)
	t.Run("playbook", func(t *testing.T) {
		for _, x := range []setting{{"smart", "True", true}, {"sftp", "False", false}, {"scp", "True", false}, {"piped", "False", false}} {
			t.Run(x.method+" pipelining="+x.pipelining, func(t *testing.T) { w.play(t, tree, x) }) // one after the other: each is three pods at once
		}
	})
	t.Run("under the documented roles", func(t *testing.T) { w.underDocumentedRoles(t, tree) })
	t.Run("without python", func(t *testing.T) {
		out := w.ansible(t, "smart", "False", "ansible", "-i", w.path("hosts"), "bare", "-m", "raw", "-a", "busybox | head -1")
		if !strings.Contains(out, "BusyBox v") {
			t.Error(out)
		}
		out = w.ansible(t, "smart", "False", "ansible", "-i", w.path("hosts"), "bare", "-m", "script", "-a", w.file(t, "script.sh", "#!/bin/sh\necho ran as $(id -u)\n"))
		if !strings.Contains(out, "ran as 0") {
			t.Error(out)
		}
	})
}

// robotPlaybook is what Ansible does every day, under a role that permits Ansible and no shell.
const robotPlaybook = `
- hosts: robots
  gather_facts: false
  tasks:
    - ping:
    - file: {path: /tmp/robot, state: directory}
    - copy: {src: SRC, dest: /tmp/robot/copied}
    - lineinfile: {path: /tmp/robot/lines, line: "a line", create: true}
    - command: cat /tmp/robot/lines
      register: lines
    - shell: id -un | tr a-z A-Z
      register: user
    - assert: {that: 'lines.stdout == "a line" and user.stdout == "DEV"'}
    - fetch: {src: /tmp/robot/copied, dest: FETCHED, flat: true}
`

// underDocumentedRoles has Ansible and rsync work under the roles that the documentation gives for them, and nothing else.
func (w *world) underDocumentedRoles(t *testing.T, tree string) {
	inventory := w.file(t, "robots", "[robots]\np0 ansible_user=robot+p0\n[all:vars]\nansible_ssh_private_key_file="+w.path("id")+"\nansible_python_interpreter=/usr/bin/python3\nansible_host="+w.at+"\nansible_port="+w.port+"\n")
	play := w.file(t, "robot.yaml", strings.NewReplacer("SRC", tree+"/script", "FETCHED", w.path("robot-fetched")).Replace(robotPlaybook))
	out := w.ansible(t, "smart", "False", "ansible-playbook", "-i", inventory, play)
	if !strings.Contains(out, "ok=8") || !strings.Contains(out, "failed=0") || strings.Contains(out, "WARNING") {
		t.Error(out)
	}
	w.ok(t, "", "cmp", tree+"/script", w.path("robot-fetched"))
	far := "syncer+p0@" + w.at + ":/data"
	for _, args := range [][]string{
		{"-a", "--delete", "--compress", "--partial", tree + "/", far}, {"-av", "--checksum", "--numeric-ids", far + "/", w.path("synced")},
		{"--delay-updates", "-F", "--compress", "--archive", "--out-format=<<CHANGED>>%i %n%L", tree + "/", far},
	} {
		if out, code := w.rsync(t, args...); code != 0 {
			t.Errorf("rsync %q: %d %s", args, code, out)
		}
	}
	same(t, "rsync up and down", tree, w.path("synced"))
	for _, args := range [][]string{{"-a", tree + "/", "syncer+p0@" + w.at + ":/tmp/x"}, {"-a", "--remove-source-files", far + "/", w.path("stolen")}, {"-a", "-M--log-file=/data/log", tree + "/", far}, {"-as", tree + "/", far}} {
		if out, code := w.rsync(t, args...); code == 0 || !strings.Contains(out, "bastion: denied") {
			t.Errorf("rsync %q: %d %s", args, code, out)
		}
	}
	for _, account := range []string{"robot", "syncer"} {
		ssh := func(stdin string, args ...string) (string, int) {
			return w.run(t, stdin, "ssh", append(w.options(args[:len(args)-1]...), account+"+p0@"+w.at, args[len(args)-1])...)
		}
		for _, command := range []string{"id", "bash", "sh -i", "/bin/sh -c id", "/bin/sh -c -s 'echo x'", "python3", "rsync --server --daemon --config=/data/e.conf ."} {
			if out, code := ssh("id\nexit\n", command); code == 0 || strings.Contains(out, "uid=") {
				t.Errorf("%s: ssh %q: %d %s", account, command, code, out)
			}
		}
		// A login shell opens, and runs nothing.
		for _, terminal := range []string{"-T", "-tt"} {
			out, _ := w.run(t, "id\nexit\n", "ssh", append(w.options(terminal), account+"+p0@"+w.at)...)
			if strings.Contains(out, "uid=") || !strings.Contains(out, "no rule allows it") {
				t.Errorf("%s: a shell with %s: %s", account, terminal, out)
			}
		}
	}
}

// ansible runs an Ansible program with ControlPersist on and nothing else changed but what the test is about.
func (w *world) ansible(t testing.TB, method, pipelining, name string, args ...string) string {
	t.Helper()
	config := w.file(t, "ansible-"+method+pipelining+".cfg", "[defaults]\nhost_key_checking = False\nforks = 5\nnocows = 1\nlocal_tmp = "+w.path("local")+"\n[ssh_connection]\ntransfer_method = "+method+
		"\npipelining = "+pipelining+"\nscp_extra_args = -O\ncontrol_path_dir = "+w.path("cp-"+method+pipelining)+"\nssh_args = -o ControlMaster=auto -o ControlPersist=20s -o UserKnownHostsFile=/dev/null\n")
	return w.ok(t, "", "env", append([]string{"ANSIBLE_CONFIG=" + config, "LC_ALL=C.UTF-8", name}, args...)...)
}
