package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// Supported signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1).
const (
	algHS256 = "HS256"
	algRS256 = "RS256"
	algES256 = "ES256"
	algEdDSA = "EdDSA"
)

var algs = []string{algRS256, algES256, algEdDSA, algHS256}

func knownAlg(alg string) bool { return slices.Contains(algs, alg) }

// Limits of keys.
const (
	minSecretLen = 32      // bytes; RFC 7518 section 3.2
	maxKeyFile   = 1 << 20 // maximum bytes of a secret, a PEM file or a key set
	maxKeys      = 100     // maximum number of keys from one source; a token without a key ID is checked with each of them
	minRSABits   = 2048    // RFC 7518 section 3.3
	maxRSABits   = 8192    // longer keys are slow
)

// Keys are the contents of key files. Nil means no file; an empty file is an error.
type Keys struct {
	// Secret is the key for HS256. It must have at least 32 bytes, not counting trailing white
	// space.
	Secret []byte
	// Public contains PEM blocks of public keys (RSA of 2048 to 8192 bits, P-256 or Ed25519) or of
	// certificates, of which only the key is used.
	Public []byte
}

// key is a key for exactly one algorithm (RFC 8725 section 3.1).
type key struct {
	method jwt.SigningMethod
	id     string // kid; "": none
	value  any
}

// signed reports whether the signature was made with one of the keys. It tries each key of the
// token's algorithm, unless the key and the token have different key IDs.
func (h header) signed(text string, signature []byte, keys []key) bool {
	for _, k := range keys {
		if k.method.Alg() == h.alg && (k.id == h.kid || k.id == "" || h.kid == "") &&
			k.method.Verify(text, signature, k.value) == nil {
			return true
		}
	}
	return false
}

func (k Keys) parse() ([]key, error) {
	var keys []key
	var faults []error
	if k.Secret != nil {
		secret, err := secretKey(k.Secret)
		if err != nil {
			faults = append(faults, fmt.Errorf("the secret: %w", err))
		}
		keys = append(keys, secret)
	}
	if k.Public != nil {
		public, err := publicKeys(k.Public)
		if err != nil {
			faults = append(faults, fmt.Errorf("the public keys: %w", err))
		}
		keys = append(keys, public...)
	}
	return keys, errors.Join(faults...)
}

func secretKey(file []byte) (key, error) {
	secret := bytes.TrimRight(file, " \t\r\n")
	if len(secret) < minSecretLen || len(secret) > maxKeyFile {
		return key{}, fmt.Errorf("want %d to %d bytes, not counting white space at the end, got %d",
			minSecretLen, maxKeyFile, len(secret))
	}
	return key{method: jwt.SigningMethodHS256, value: bytes.Clone(secret)}, nil
}

// publicKeys parses a PEM file (RFC 7468). It returns an error for an unreadable block: if it
// skipped the block, tokens would be refused later without a visible reason.
func publicKeys(file []byte) ([]key, error) {
	if len(file) > maxKeyFile {
		return nil, fmt.Errorf("want at most %d bytes, got %d", maxKeyFile, len(file))
	}
	var keys []key
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		public, err := publicKey(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(keys)+1, err)
		}
		keys = append(keys, public)
	}
	switch begun := bytes.Count(file, []byte("-----BEGIN ")); {
	case len(keys) == 0:
		return nil, errors.New("want PEM blocks of public keys or certificates, found none")
	case len(keys) != begun:
		return nil, fmt.Errorf("%d PEM blocks begin in the file, but only %d can be read", begun, len(keys))
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("want at most %d keys, got %d", maxKeys, len(keys))
	}
	return keys, nil
}

func publicKey(block *pem.Block) (key, error) {
	var public any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	default:
		// A private key is refused, because a verifier must not have one.
		return key{}, fmt.Errorf("want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, got %q", block.Type)
	}
	if err != nil {
		return key{}, err
	}
	return verifyingKey(public)
}

// verifyingKey returns a key that verifies signatures with the public key. The type of the public key
// determines the algorithm.
func verifyingKey(public any) (key, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return key{}, fmt.Errorf("want an RSA key of %d to %d bits, got %d", minRSABits, maxRSABits, bits)
		}
		return key{method: jwt.SigningMethodRS256, value: k}, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return key{method: jwt.SigningMethodES256, value: k}, nil
		}
	case ed25519.PublicKey:
		return key{method: jwt.SigningMethodEdDSA, value: k}, nil
	}
	return key{}, errors.New("want an RSA, P-256 or Ed25519 key")
}
