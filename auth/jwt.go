package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// JWTConfig is what a JWT verifier goes by. One source of keys at least must be given; a token may
// be signed by a key of any.
type JWTConfig struct {
	Keys
	// JWKSURL is where a JSON Web Key Set is fetched from (RFC 7517); "": nowhere. It is of https,
	// or of http on a loopback host; AllowHTTP lets it be of http anywhere.
	JWKSURL   string
	AllowHTTP bool

	Issuer   string        // which the claim iss must be; "": any
	Audience string        // which the claim aud must be or contain; "": any
	Leeway   time.Duration // how far ahead of this clock nbf may be; exp gets none
	Limits   Limits        // of each token
	Log      *slog.Logger  // nil: slog.Default
}

// JWT is a Verifier of JSON Web Tokens by RFC 7519 and RFC 8725: signed by RS256, ES256, EdDSA
// (Ed25519) or HS256, with the claim exp, and with lists of topic filters as the claims subscribe
// and publish.
type JWT struct {
	issuer, audience string        // static
	leeway           time.Duration // static
	limits           Limits        // static
	remote           *keySet       // static; nil if there is no URL

	local   atomic.Pointer[[]key] // of secret and PEM
	revoked atomic.Pointer[revocations]
	grants  grants // of tokens with many filters
}

// NewJWT makes a verifier. It requests nothing; Run does.
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

// SetKeys puts other keys in place of those of the secret and the PEM text. Tokens that were let
// in before stay. If anything is wrong with them nothing changes, and the error says all of it.
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

// Verify returns an *UnavailableError for a token whose key may be one of the URL's while these
// cannot be had. For a key id that is not known it has the keys fetched again, once in
// refetchInterval at most, and waits for the fetch, fetchTimeout at most; the token is refused only
// if its key is not in what was fetched after it came. While no fetch may be made, or too many wait
// for one, the error is an *UnavailableError too.
func (j *JWT) Verify(token string) (*Credential, error) {
	if !validToken(token) || strings.Count(token, ".") != 2 {
		return nil, ErrBadToken
	}
	payload, err := j.authentic(token)
	if err != nil {
		return nil, err
	}
	c, err := parseClaims(payload)
	if err != nil {
		return nil, bad(err.Error())
	}
	switch now := time.Now(); {
	case j.issuer != "" && c.issuer != j.issuer:
		return nil, bad("its issuer (iss) is not the one expected")
	case j.audience != "" && !slices.Contains(c.audience, j.audience):
		return nil, bad("the audience expected is not in its aud")
	case j.isRevoked(c.id, c.subject, c.issuedAt), !now.Before(c.expires):
		return nil, ErrTokenEnded
	case now.Add(j.leeway).Before(c.notBefore):
		return nil, ErrTokenNotYet
	}
	return j.credential(token, c), nil
}

// authentic gives the payload of a token that one of the keys has signed.
func (j *JWT) authentic(token string) (payload []byte, err error) {
	last := strings.LastIndexByte(token, '.')
	first := strings.IndexByte(token, '.')
	head, err := decodeSegment(token[:first])
	if err != nil {
		return nil, bad("its header is not base64url")
	}
	header, err := parseHeader(head)
	if err != nil {
		return nil, bad(err.Error())
	}
	if payload, err = decodeSegment(token[first+1 : last]); err != nil {
		return nil, bad("its payload is not base64url")
	}
	signature, err := decodeSegment(token[last+1:])
	if err != nil {
		return nil, bad("its signature is not base64url")
	}
	if header.signed(token[:last], signature, *j.local.Load()) {
		return payload, nil
	}
	if j.remote == nil || header.alg == algHS256 {
		return nil, errUnsigned
	}
	return payload, j.remote.judge(header, token[:last], signature)
}

// credential is what a token stands for. Its hash is of what is signed: a signature of ES256 can
// be turned into another one that is as good (r, n-s), and so can the hash of the whole.
func (j *JWT) credential(token string, c *claims) *Credential {
	hash := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
	return &Credential{
		Hash:    hash,
		Grant:   j.grants.of(c, hash),
		Expires: c.expires,
		ID:      c.id,
		Subject: c.subject,
		Issued:  c.issuedAt,
		Limits:  j.limits,
	}
}

// subjectPrefix keeps the subjects of JWTs apart from the names of a file, which may not begin so.
const subjectPrefix = "jwt:"

// subjectOf names who the token is of: its sub, or itself if it has none.
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

// Review gives ErrTokenEnded for what is revoked. A change of keys ends no token.
func (j *JWT) Recheck(c *Credential) (*Credential, error) {
	if j.isRevoked(c.ID, c.Subject, c.Issued) {
		return nil, ErrTokenEnded
	}
	return c, nil
}

// bad is ErrBadToken with the reason, which repeats nothing of the token.
func bad(reason string) error { return fmt.Errorf("%w: %s", ErrBadToken, reason) }
