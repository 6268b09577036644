package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// JWTConfig configures a JWT verifier. It must have at least one source of keys. A token may be
// signed with a key from any of the sources.
type JWTConfig struct {
	Keys
	// JWKSURL is the URL of a JSON Web Key Set (RFC 7517); "": none. It must be https, or http to a
	// loopback host. AllowHTTP permits http to any host.
	JWKSURL   string
	AllowHTTP bool

	Issuer   string        // required value of the claim iss; "": any value
	Audience string        // value that the claim aud must contain; "": any value
	Leeway   time.Duration // how far nbf may be ahead of the hub's clock; exp has no leeway
	Limits   Limits        // limits of each token
	Log      *slog.Logger  // nil: slog.Default
}

// JWT is a Verifier of JSON Web Tokens (RFC 7519, RFC 8725). They must be signed with RS256, ES256,
// EdDSA (Ed25519) or HS256, and have the claim exp. The claims subscribe and publish are lists of
// topic filters.
type JWT struct {
	issuer, audience string        // immutable
	leeway           time.Duration // immutable
	limits           Limits        // immutable
	remote           *keySet       // immutable; nil if there is no URL

	local   atomic.Pointer[[]key] // keys from the secret and the PEM blocks
	revoked atomic.Pointer[revocations]
	grants  grantCache // cached grants of tokens with many filters
}

// NewJWT returns a verifier. It does not fetch keys; Run fetches them.
func NewJWT(config JWTConfig) (*JWT, error) {
	j := &JWT{issuer: config.Issuer, audience: config.Audience, leeway: config.Leeway, limits: config.Limits}
	if config.JWKSURL != "" {
		log := config.Log
		if log == nil {
			log = slog.Default()
		}
		var err error
		if j.remote, err = newKeySet(config.JWKSURL, config.AllowHTTP, log); err != nil {
			return nil, err
		}
	}
	j.revoked.Store(new(revocations))
	if err := j.SetKeys(config.Keys); err != nil {
		return nil, err
	}
	return j, nil
}

// SetKeys replaces the keys from the secret and the PEM blocks. Tokens in use stay valid. If
// SetKeys returns an error, which describes all faults, nothing has changed.
func (j *JWT) SetKeys(k Keys) error {
	keys, err := k.parse()
	if err != nil {
		return err
	}
	if len(keys) == 0 && j.remote == nil {
		return errors.New("no key to verify tokens with: want a secret, public keys or the URL of a key set")
	}
	j.local.Store(&keys)
	return nil
}

// Verify implements Verifier. For a token with an unknown key ID it requests a fetch of the keys,
// at most once per refetchInterval, and waits for it, for at most fetchTimeout. It refuses the
// token only if a fetch that started after the token arrived did not return the key. The error is
// an *UnavailableError if the keys are unavailable, no fetch is allowed yet, or too many requests
// wait.
func (j *JWT) Verify(_ context.Context, _ *http.Request, token string) (*Credential, error) {
	if !isToken(token) || strings.Count(token, ".") != 2 {
		return nil, ErrBadToken
	}
	payload, err := j.verifySignature(token)
	if err != nil {
		return nil, err
	}
	c, err := parseClaims(payload)
	if err != nil {
		return nil, badToken(err.Error())
	}
	switch now := time.Now(); {
	case j.issuer != "" && c.issuer != j.issuer:
		return nil, badToken("its issuer (iss) is not the expected one")
	case j.audience != "" && !slices.Contains(c.audience, j.audience):
		return nil, badToken("its audience (aud) does not include the expected one")
	case j.isRevoked(c.id, c.subject, c.issuedAt), !now.Before(c.expires):
		return nil, ErrTokenEnded
	case now.Add(j.leeway).Before(c.notBefore):
		return nil, ErrTokenNotYet
	}
	return j.credential(token, c), nil
}

// verifySignature returns the payload of a token whose signature was made with one of the keys.
func (j *JWT) verifySignature(token string) (payload []byte, err error) {
	last := strings.LastIndexByte(token, '.')
	first := strings.IndexByte(token, '.')
	head, err := decodeSegment(token[:first])
	if err != nil {
		return nil, badToken("its header is not base64url")
	}
	header, err := parseHeader(head)
	if err != nil {
		return nil, badToken(err.Error())
	}
	if payload, err = decodeSegment(token[first+1 : last]); err != nil {
		return nil, badToken("its payload is not base64url")
	}
	signature, err := decodeSegment(token[last+1:])
	if err != nil {
		return nil, badToken("its signature is not base64url")
	}
	if header.signed(token[:last], signature, *j.local.Load()) {
		return payload, nil
	}
	if j.remote == nil || header.alg == algHS256 {
		return nil, errUnsigned
	}
	return payload, j.remote.checkSignature(header, token[:last], signature)
}

// credential returns the credential of a token. Its hash covers only the signed part. A hash of the
// whole token would not identify it: anyone can compute a second valid signature (r, n-s) from an
// ES256 signature (r, s).
func (j *JWT) credential(token string, c *claims) *Credential {
	hash := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
	return &Credential{
		Hash:    hash,
		Grant:   j.grants.grantFor(c, hash),
		Expires: c.expires,
		ID:      c.id,
		Subject: c.subject,
		Issued:  c.issuedAt,
		Limits:  j.limits,
	}
}

// subjectPrefix is the prefix of the subjects of JWTs. Names in a tokens file must not begin with
// it, so that they differ from the subjects of all JWTs.
const subjectPrefix = "jwt:"

// subjectOf returns the subject of a token: its sub or, if absent, its jti or its hash.
func subjectOf(c *claims, hash [sha256.Size]byte) string {
	switch {
	case c.subject != "":
		return subjectPrefix + "sub:" + c.subject
	case c.id != "":
		return subjectPrefix + "jti:" + c.id
	default:
		return subjectPrefix + hex.EncodeToString(hash[:8])
	}
}

// Recheck returns ErrTokenEnded for a revoked token. A change of keys does not end tokens in use.
func (j *JWT) Recheck(c *Credential) (*Credential, error) {
	if j.isRevoked(c.ID, c.Subject, c.Issued) {
		return nil, ErrTokenEnded
	}
	return c, nil
}

// badToken returns a wrapped ErrBadToken with the reason, which must not contain parts of the
// token.
func badToken(reason string) error { return fmt.Errorf("%w: %s", ErrBadToken, reason) }
