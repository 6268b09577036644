package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Tokens is a Verifier that uses a tokens file, which contains the SHA-256 hash and the rights of
// each token. It accepts no token before a file is loaded.
type Tokens struct {
	defaults Limits   // immutable
	only     Limits   // default limits if the file has only one token; set before Load
	salt     [32]byte // immutable; random for each process
	table    atomic.Pointer[tokenTable]
}

// tokenTable holds the credentials of a file. The key is the result of indexOf for the token's
// hash.
type tokenTable map[[sha256.Size]byte]*Credential

// NewTokens returns a Verifier that uses a tokens file. The defaults apply to limits that an entry
// omits.
func NewTokens(defaults Limits) *Tokens {
	t := &Tokens{defaults: defaults, only: defaults}
	_, _ = rand.Read(t.salt[:]) // never fails
	t.table.Store(&tokenTable{})
	return t
}

// SetOnlyTokenDefaults sets the defaults that apply while the file has only one token. It must be
// called before Load.
func (t *Tokens) SetOnlyTokenDefaults(defaults Limits) { t.only = defaults }

// Load replaces the tokens by the content of a file. If it returns an error, nothing has changed.
// The error lists all faults, one per line, with the line number, the entry and the key.
func (t *Tokens) Load(file []byte) error {
	parsed, err := parseTokens(file)
	if err != nil {
		return err
	}
	table, defaults := make(tokenTable, len(parsed.entries)), t.defaults
	if len(parsed.entries) == 1 {
		defaults = t.only
	}
	for _, e := range parsed.entries {
		table[t.indexOf(e.hash)] = &Credential{
			Hash:    e.hash,
			Grant:   &Grant{Subject: e.name, Subscribe: e.subscribe, Publish: e.publish},
			Expires: e.expires,
			Limits:  e.limits.withDefaults(defaults),
		}
	}
	t.table.Store(&table)
	return nil
}

// Verify returns ErrBadToken for a token that is not in the file.
func (t *Tokens) Verify(_ context.Context, _ *http.Request, token string) (*Credential, error) {
	c := t.find(sha256.Sum256([]byte(token)))
	switch {
	case c == nil:
		return nil, ErrBadToken
	case !c.Expires.IsZero() && !time.Now().Before(c.Expires):
		return nil, ErrTokenEnded
	}
	return c, nil
}

// Recheck returns the current credential of a token, or ErrTokenEnded if the file no longer
// contains it.
func (t *Tokens) Recheck(c *Credential) (*Credential, error) {
	if now := t.find(c.Hash); now != nil {
		return now, nil
	}
	return nil, ErrTokenEnded
}

// find returns the credential of the token with this hash, or nil.
func (t *Tokens) find(hash [sha256.Size]byte) *Credential {
	c := (*t.table.Load())[t.indexOf(hash)]
	if c == nil || subtle.ConstantTimeCompare(c.Hash[:], hash[:]) != 1 {
		return nil
	}
	return c
}

// indexOf returns the map key for a hash. It depends on the random salt, so that the duration of a
// map lookup reveals nothing about the stored hashes.
func (t *Tokens) indexOf(hash [sha256.Size]byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, t.salt[:])
	mac.Write(hash[:])
	return [sha256.Size]byte(mac.Sum(nil))
}

// tokenEntry is the parsed entry of one token.
type tokenEntry struct {
	name               string
	hash               [sha256.Size]byte
	subscribe, publish hub.FilterSet
	expires            time.Time
	limits             entryLimits
}

func (e tokenEntry) equal(other tokenEntry) bool {
	return e.name == other.name && e.hash == other.hash && e.limits == other.limits &&
		e.expires.Equal(other.expires) &&
		slices.Equal(e.subscribe.Filters(), other.subscribe.Filters()) &&
		slices.Equal(e.publish.Filters(), other.publish.Filters())
}

// entryLimits are the limits in an entry. The default applies to a limit that is not set.
type entryLimits Limits

const unset = -1

func (l entryLimits) withDefaults(defaults Limits) Limits {
	pick := func(said, otherwise int) int {
		if said == unset {
			return otherwise
		}
		return said
	}
	return Limits{
		Connections: pick(l.Connections, defaults.Connections),
		ConnectRate: pick(l.ConnectRate, defaults.ConnectRate),
		PublishRate: pick(l.PublishRate, defaults.PublishRate),
	}
}
