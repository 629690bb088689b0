package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The second recommended option of RFC 9106, section 4, and the bounds that a hash in a document must keep: below
// them it is cheap to guess, above them one login could take the machine.
const (
	hashTime    = 3
	hashMemory  = 64 << 10 // KiB
	hashThreads = 4
	hashSalt    = 16
	hashLength  = 32

	minMemory  = 19 << 10
	maxMemory  = 256 << 10
	maxTime    = 16
	maxThreads = 16

	// MaxPassword bounds what is hashed at all, in bytes.
	MaxPassword = 1024
)

// PasswordHash is an argon2id hash as its PHC string holds it.
type PasswordHash struct {
	time, memory uint32
	threads      uint8
	salt, sum    []byte
}

// HashPassword makes the PHC string of a password with a new salt.
func HashPassword(password string) (string, error) {
	if password == "" || len(password) > MaxPassword {
		return "", fmt.Errorf("auth: a password needs 1 to %d bytes", MaxPassword)
	}
	salt := make([]byte, hashSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("auth: cannot draw a salt: %w", err)
	}
	h := &PasswordHash{time: hashTime, memory: hashMemory, threads: hashThreads, salt: salt}
	h.sum = h.derive(password, hashLength)
	return h.String(), nil
}

// Equal tells whether two hashes are of the same password with the same salt; nil is equal to none.
func (h *PasswordHash) Equal(other *PasswordHash) bool {
	return h != nil && other != nil && h.String() == other.String()
}

// String is the PHC string.
func (h *PasswordHash) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.sum))
}

// ParsePasswordHash reads a PHC string and checks its parameters.
func ParsePasswordHash(s string) (*PasswordHash, error) {
	parts := strings.Split(s, "$")
	if len(s) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return nil, errors.New("want an argon2id hash as `bastion hash-password` prints it")
	}
	var h PasswordHash
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return nil, fmt.Errorf("want argon2 version %d", argon2.Version)
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return nil, errors.New("want parameters m=…,t=…,p=…")
	}
	b64 := base64.RawStdEncoding.Strict()
	var err error
	if h.salt, err = b64.DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return nil, errors.New("want a base64 salt of 8 to 64 bytes")
	}
	if h.sum, err = b64.DecodeString(parts[5]); err != nil || len(h.sum) < 16 || len(h.sum) > 64 {
		return nil, errors.New("want a base64 hash of 16 to 64 bytes")
	}
	if h.memory < minMemory || h.memory > maxMemory || h.time < 1 || h.time > maxTime || h.threads < 1 || h.threads > maxThreads {
		return nil, fmt.Errorf("parameters out of bounds: want m %d to %d, t 1 to %d, p 1 to %d", minMemory, maxMemory, maxTime, maxThreads)
	}
	if h.String() != s {
		return nil, errors.New("want the exact form that `bastion hash-password` prints")
	}
	return &h, nil
}

// Matches takes as long as the hash asks for, whatever the password. Callers bound how many run at once.
func (h *PasswordHash) Matches(password string) bool {
	if len(password) > MaxPassword {
		password = ""
	}
	got := h.derive(password, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(got, h.sum) == 1 && password != ""
}

func (h *PasswordHash) derive(password string, n uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, n)
}

func (h *PasswordHash) cost() uint64 { return uint64(h.time) * uint64(h.memory) }

// DecoyHash matches no password that anybody knows, and costs what the dearest password of the document costs:
// an account that does not exist must take as long to refuse as one that does.
func (d *Document) DecoyHash() *PasswordHash {
	decoy := &PasswordHash{time: hashTime, memory: hashMemory, threads: hashThreads}
	var dearest *PasswordHash
	for _, name := range d.order {
		if h := d.accounts[name].Password; h != nil && (dearest == nil || h.cost() > dearest.cost()) {
			dearest = h
		}
	}
	if dearest != nil {
		decoy.time, decoy.memory, decoy.threads = dearest.time, dearest.memory, dearest.threads
	}
	random := make([]byte, hashSalt+hashLength)
	rand.Read(random) // never fails; see crypto/rand
	decoy.salt, decoy.sum = random[:hashSalt], random[hashSalt:]
	return decoy
}
