package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/trivium-hub/trivium/hub"
)

// Claims are the claims of a new JWT.
type Claims struct {
	Subject   string // at most 256 bytes without control characters
	ID        string // the claim jti, by which the token can be revoked; at most 256 bytes, and valid in a file of revoked tokens
	Issuer    string
	Audience  string
	Subscribe []hub.Filter
	Publish   []hub.Filter
	Expires   time.Time // rounded to seconds
}

// SigningKey signs JWTs.
type SigningKey struct {
	method jwt.SigningMethod
	value  any
}

// NewSecretKey returns the key for HS256 from the content of a secret file; see Keys.
func NewSecretKey(file []byte) (*SigningKey, error) {
	k, err := secretKey(file)
	if err != nil {
		return nil, err
	}
	return &SigningKey{k.method, k.value}, nil
}

// NewPrivateKey returns the first private key in a PEM file. Its type determines the algorithm:
// RS256 for RSA of 2048 to 8192 bits, ES256 for P-256, EdDSA for Ed25519.
func NewPrivateKey(file []byte) (*SigningKey, error) {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		var private any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			private, err = x509.ParseECPrivateKey(block.Bytes)
		default: // openssl writes EC PARAMETERS before a key, for example
			continue
		}
		if err != nil {
			return nil, errors.New("the private key cannot be read; it must not be encrypted") // err is not included, because it may contain parts of the key
		}
		signer, ok := private.(crypto.Signer)
		if !ok { // an X25519 key, for example, cannot sign
			return nil, errors.New("want a private key that can sign")
		}
		public, err := verifyingKey(signer.Public())
		if err != nil {
			return nil, err
		}
		return &SigningKey{public.method, private}, nil
	}
	return nil, errors.New("want a private key in PEM, found none")
}

// Mint returns a signed JWT, with keyID in its header unless keyID is "". It returns an error if no
// verifier of this package would accept the token.
func (k *SigningKey) Mint(keyID string, c Claims) (string, error) {
	members := jwt.MapClaims{
		"sub":       c.Subject,
		"jti":       c.ID,
		"iat":       time.Now().Unix(),
		"exp":       c.Expires.Unix(),
		"subscribe": filterStrings(c.Subscribe),
		"publish":   filterStrings(c.Publish),
	}
	for name, value := range map[string]string{"iss": c.Issuer, "aud": c.Audience} {
		if value != "" {
			members[name] = value
		}
	}
	payload, err := json.Marshal(members)
	if err != nil {
		return "", err
	}
	if _, err := parseClaims(payload); err != nil {
		return "", fmt.Errorf("a hub would refuse the token: %w", err)
	}
	unsigned := jwt.NewWithClaims(k.method, members)
	if keyID != "" {
		unsigned.Header["kid"] = keyID
	}
	token, err := unsigned.SignedString(k.value)
	if err == nil && len(token) > MaxTokenLen {
		err = fmt.Errorf("a token may have at most %d bytes, this one would have %d: use fewer topic filters", MaxTokenLen, len(token))
	}
	return token, err
}
