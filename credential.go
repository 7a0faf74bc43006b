package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// A credential is what a cookie holds, "key.secret": 128 random bits that name
// the session as long as it lives, and 128 that rotation replaces. OWASP asks
// for 64 bits of entropy, ASVS 5.0 (7.2.3) for 128.
const (
	partSize  = 16
	partChars = 22 // base64url without padding
)

// CredentialLen is the length of every credential in bytes.
const CredentialLen = partChars + 1 + partChars

// credential is kept masked, so that printing the memory of a session, by
// whatever means, does not print it.
type credential struct{ key, secret [partSize]byte }

var mask = func() (m [partSize]byte) {
	rand.Read(m[:]) // never fails: it ends the process instead
	return m
}()

func masked(b [partSize]byte) [partSize]byte {
	subtle.XORBytes(b[:], b[:], mask[:])
	return b
}

var encoding = base64.RawURLEncoding.Strict()

// parseCredential accepts exactly one spelling of each credential.
func parseCredential(s string) (c credential, ok bool) {
	if len(s) != CredentialLen || s[partChars] != '.' {
		return c, false
	}
	if !decodePart(&c.key, s[:partChars]) || !decodePart(&c.secret, s[partChars+1:]) {
		return c, false
	}
	c.key, c.secret = masked(c.key), masked(c.secret)
	return c, true
}

func decodePart(dst *[partSize]byte, s string) bool {
	var src [partChars]byte
	for i := range src {
		src[i] = s[i]
		if c := s[i]; c == '\n' || c == '\r' { // which the decoder would skip
			return false
		}
	}
	n, err := encoding.Decode(dst[:], src[:])
	return err == nil && n == partSize
}

func newCredential() (c credential) {
	var b [2 * partSize]byte
	rand.Read(b[:])
	c.key, c.secret = masked([partSize]byte(b[:partSize])), masked([partSize]byte(b[partSize:]))
	return c
}

// withNewSecret returns what a rotation makes of c.
func (c credential) withNewSecret() credential {
	c.secret = newCredential().secret
	return c
}

// encode returns the spelling that a cookie carries.
func (c credential) encode() string {
	var b [CredentialLen]byte
	key, secret := masked(c.key), masked(c.secret)
	encoding.Encode(b[:partChars], key[:])
	b[partChars] = '.'
	encoding.Encode(b[partChars+1:], secret[:])
	return string(b[:])
}

// The prefixes keep the hashes apart.
const (
	keyPurpose    = 'k'
	secretPurpose = 's'
	markPurpose   = 'o'
)

// storeKey is the key of the record, and with it the public handle. The hash of
// the scope is part of it: managers of two scopes never meet in one store.
func (c credential) storeKey(scope *[partSize]byte) store.Key {
	var b [1 + 2*partSize]byte
	key := masked(c.key)
	b[0] = keyPurpose
	copy(b[1:], scope[:])
	copy(b[1+partSize:], key[:])
	return sha256.Sum256(b[:])
}

// secretHash is what the record holds of the secret.
func (c credential) secretHash() record.Hash {
	var b [1 + partSize]byte
	secret := masked(c.secret)
	b[0] = secretPurpose
	copy(b[1:], secret[:])
	sum := sha256.Sum256(b[:])
	return record.Hash(sum[:record.HashSize])
}

func equalHash(a, b *record.Hash) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
