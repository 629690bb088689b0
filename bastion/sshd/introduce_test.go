package sshd

import "testing"

func TestOldMACs(t *testing.T) {
	for client, want := range map[string]bool{
		"SSH-2.0-libssh2_1.10.0": true, "SSH-2.0-libssh2_1.9.0_DEV": true, "SSH-2.0-libssh2_1.11.0": false, "SSH-2.0-libssh2_1.100": false,
		"SSH-2.0-OpenSSH_9.2p1 Debian-2": false, "SSH-2.0-Go": false, "": false, "SSH-2.0-libssh2_1.": false,
	} {
		if got := needsOldMACs(client); got != want {
			t.Errorf("%q: %v", client, got)
		}
	}
}
