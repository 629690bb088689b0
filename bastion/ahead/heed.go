package ahead

import "strings"

// heed is what a client's first requests tell of it. Many a client drops what a close says: paramiko, curl, sshfs, and
// scp where it copies from one far side to another. A promise to them would be broken unseen. OpenSSH's sftp minds it,
// and so does OpenSSH's scp with a file that it sends from its own side, which it opens without truncating it.
type heed int

const (
	unasked heed = iota
	openSSH      // asked for the server's limits first
	sftp         // and then for the folder that it is in
	scp          // or for something else
	other
)

// next is called with every request.
func (h heed) next(version string, kind byte, r *reader) heed {
	switch h {
	case unasked:
		if strings.HasPrefix(version, "SSH-2.0-OpenSSH_") && kind == typeExtended && string(r.bytes()) == "limits@openssh.com" {
			return openSSH
		}
		return other
	case openSSH:
		if kind == typeRealpath && string(r.bytes()) == "." {
			return sftp
		}
		return scp
	}
	return h
}

// minds tells that a client minds what comes of the close of a file that it opens like that, to write it.
func (h heed) minds(flags uint32) bool {
	return h == sftp && flags&^openCut == openMake || h == scp && flags == openMake
}
