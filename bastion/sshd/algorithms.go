package sshd

import (
	"slices"

	"golang.org/x/crypto/ssh"
)

// algorithms lists what is offered: nothing with SHA-1, CBC, NIST curves or a MAC over plaintext. Strict key exchange
// comes with the library and is always offered. Only clients that have nothing better are offered more.
//
// The client's order decides which cipher of both is taken (RFC 4253 section 7.1), and OpenSSH's has ChaCha20 and
// AES-CTR first, which cost several times as much as AES-GCM where the processor has AES, as those of servers do. So a
// client that has AES-GCM, too, is offered nothing else.
func algorithms(client introduction) ssh.Config {
	c := ssh.Config{
		KeyExchanges: []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519},
		Ciphers: []string{
			ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305, ssh.CipherAES256CTR, ssh.CipherAES128CTR,
		},
		MACs: []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM},
	}
	if gcm := c.Ciphers[:2]; slices.ContainsFunc(gcm, func(name string) bool { return slices.Contains(client.ciphers, name) }) {
		c.Ciphers = gcm
	}
	if needsOldMACs(client.version) {
		c.MACs = append(c.MACs, ssh.HMACSHA256, ssh.HMACSHA512)
	}
	return c
}

// publicKeyAlgorithms are the signatures that clients may prove a key with.
func publicKeyAlgorithms() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
}
