package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Tokens is a Verifier by a tokens file, which knows of each token its SHA-256 hash and what it
// grants. Until a file is loaded it knows none.
type Tokens struct {
	defaults Limits   // static
	salt     [32]byte // static, of this process
	table    atomic.Pointer[tokenTable]
}

// tokenTable is what one file says, by indexOf the hash.
type tokenTable map[[sha256.Size]byte]*Credential

// NewTokens makes a Verifier by a tokens file. The defaults are for what an entry's limits leave
// out.
func NewTokens(defaults Limits) *Tokens {
	t := &Tokens{defaults: defaults}
	_, _ = rand.Read(t.salt[:]) // never fails
	t.table.Store(&tokenTable{})
	return t
}

// Load puts what a tokens file says in place of what was loaded before. If anything is wrong with
// the file nothing changes, and the error says all of it, one fault a line, with the line of the
// file, the entry and the key.
func (t *Tokens) Load(file []byte) error {
	parsed, err := parseTokens(file)
	if err != nil {
		return err
	}
	table := make(tokenTable, len(parsed.entries))
	for _, e := range parsed.entries {
		table[t.indexOf(e.hash)] = &Credential{
			Hash:    e.hash,
			Grant:   &hub.Grant{Subject: e.name, Subscribe: e.subscribe, Publish: e.publish},
			Expires: e.expires,
			Limits:  e.limits.over(t.defaults),
		}
	}
	t.table.Store(&table)
	return nil
}

// Verify gives ErrBadToken for a token that the file does not know.
func (t *Tokens) Verify(token string) (*Credential, error) {
	c := t.find(sha256.Sum256([]byte(token)))
	switch {
	case c == nil:
		return nil, ErrBadToken
	case !c.Expires.IsZero() && !time.Now().Before(c.Expires):
		return nil, ErrTokenEnded
	}
	return c, nil
}

// Review gives what the file says now, ErrTokenEnded if it is silent.
func (t *Tokens) Recheck(c *Credential) (*Credential, error) {
	if now := t.find(c.Hash); now != nil {
		return now, nil
	}
	return nil, ErrTokenEnded
}

// find gives nil for a hash that the file does not have.
func (t *Tokens) find(hash [sha256.Size]byte) *Credential {
	c := (*t.table.Load())[t.indexOf(hash)]
	if c == nil || subtle.ConstantTimeCompare(c.Hash[:], hash[:]) != 1 {
		return nil
	}
	return c
}

// indexOf keeps the time that the map takes from telling anything of the hashes in it: without the
// salt nobody can tell which index a hash has.
func (t *Tokens) indexOf(hash [sha256.Size]byte) [sha256.Size]byte {
	mac := hmac.New(sha256.New, t.salt[:])
	mac.Write(hash[:])
	return [sha256.Size]byte(mac.Sum(nil))
}

// tokenEntry is one token of a file.
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

// entryLimits are those that an entry gives; unsaid leaves one to the default.
type entryLimits Limits

const unsaid = -1

func (l entryLimits) over(defaults Limits) Limits {
	pick := func(said, otherwise int) int {
		if said == unsaid {
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
