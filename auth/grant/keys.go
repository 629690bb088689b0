package grant

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	maxKeyFile = 64 << 10
	maxKeys    = 16
)

// MarshalPrivateKey encodes a signing key as PKCS#8 in PEM.
func MarshalPrivateKey(key ed25519.PrivateKey) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("grant: private key has %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("grant: cannot encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// MarshalPublicKey encodes a verification key as PKIX in PEM.
func MarshalPublicKey(key ed25519.PublicKey) ([]byte, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("grant: public key has %d bytes, want %d", len(key), ed25519.PublicKeySize)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("grant: cannot encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePrivateKey reads one PKCS#8 PEM block that holds an Ed25519 key.
func ParsePrivateKey(data []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("grant: no PEM block PRIVATE KEY (PKCS#8) found")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("grant: private key is not PKCS#8")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("grant: private key is %T, want Ed25519", parsed)
	}
	return key, nil
}

// ParsePublicKeys reads every PKIX PEM block of data: one key, or several while keys are being rotated.
func ParsePublicKeys(data []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("grant: PEM block is %q, want PUBLIC KEY (PKIX)", block.Type)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("grant: public key is not PKIX: %w", err)
		}
		key, ok := parsed.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("grant: public key is %T, want Ed25519", parsed)
		}
		if keys = append(keys, key); len(keys) > maxKeys {
			return nil, fmt.Errorf("grant: more than %d public keys", maxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("grant: no PEM block PUBLIC KEY (PKIX) found")
	}
	return keys, nil
}

// LoadPrivateKey reads a signing key. A file that everybody may read or write is refused.
func LoadPrivateKey(path string) (ed25519.PrivateKey, error) {
	data, err := readFile(path, true)
	if err != nil {
		return nil, err
	}
	key, err := ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, path)
	}
	return key, nil
}

// LoadPublicKeys reads the verification keys of a file.
func LoadPublicKeys(path string) ([]ed25519.PublicKey, error) {
	data, err := readFile(path, false)
	if err != nil {
		return nil, err
	}
	keys, err := ParsePublicKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, path)
	}
	return keys, nil
}

// SavePrivateKey writes a new file with mode 0600; it never overwrites one.
func SavePrivateKey(path string, key ed25519.PrivateKey) error {
	data, err := MarshalPrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, data, os.O_EXCL, 0o600)
}

// SavePublicKey writes the file with mode 0644, over an older one if there is one.
func SavePublicKey(path string, key ed25519.PublicKey) error {
	data, err := MarshalPublicKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, data, os.O_TRUNC, 0o644)
}

func readFile(path string, secret bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("grant: cannot read key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("grant: cannot read key: %w", err)
	}
	if secret && info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("grant: %s has mode %04o: others may use it; chmod 600 it", path, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("grant: cannot read key: %w", err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("grant: %s is larger than %d bytes", path, maxKeyFile)
	}
	return data, nil
}

func writeFile(path string, data []byte, flag int, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, mode)
	if err != nil {
		return fmt.Errorf("grant: cannot write key: %w", err)
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("grant: cannot write key: %w", err)
	}
	return nil
}
