package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

const (
	maxClaimLen = 256          // maximum length of sub and jti in bytes
	maxDate     = 253402300799 // seconds from 1970 to the end of the year 9999
)

// strict is a base64url decoder that rejects trailing bits other than zero, so that each token has
// exactly one valid encoding.
var strict = base64.RawURLEncoding.Strict()

func decodeSegment(s string) ([]byte, error) { return strict.DecodeString(s) }

// header is the JOSE header of a token (RFC 7515 section 4). Keys and URLs in it (jwk, x5c, jku,
// x5u) are ignored: the signer must not choose the key.
type header struct {
	alg string
	kid string // "" if absent
}

// parseHeader parses a header. The error contains no part of the header.
func parseHeader(text []byte) (header, error) {
	var h header
	o, err := parseObject(text, "header")
	if err != nil {
		return h, err
	}
	if _, ok := o["crit"]; ok {
		return h, errors.New("its header has crit, but the hub supports no extensions")
	}
	if raw, ok := o["b64"]; ok && string(raw) != "true" {
		return h, errors.New("its header has b64 with a value other than true")
	}
	if h.alg, err = o.stringMember("alg"); err != nil {
		return h, err
	}
	if h.kid, err = o.stringMember("kid"); err != nil {
		return h, err
	}
	if _, err = o.stringMember("typ"); err != nil {
		return h, err
	}
	if !knownAlg(h.alg) {
		return h, fmt.Errorf("its algorithm (alg) must be one of %s", strings.Join(algs, ", "))
	}
	return h, nil
}

// claims are the claims of a token's payload (RFC 7519 section 4.1).
type claims struct {
	issuer, subject, id string // "" if absent
	audience            []string
	expires             time.Time
	notBefore, issuedAt time.Time // zero if absent
	subscribe, publish  []hub.Filter
}

// parseClaims parses a payload. It ignores unknown members, and compares names case-sensitively,
// unlike encoding/json. The error contains no part of the payload.
func parseClaims(payload []byte) (*claims, error) {
	o, err := parseObject(payload, "payload")
	if err != nil {
		return nil, err
	}
	c := new(claims)
	for _, text := range []struct {
		name   string
		target *string
	}{{"iss", &c.issuer}, {"sub", &c.subject}, {"jti", &c.id}} {
		if *text.target, err = o.stringMember(text.name); err != nil {
			return nil, err
		}
	}
	for _, date := range []struct {
		name   string
		target *time.Time
	}{{"exp", &c.expires}, {"nbf", &c.notBefore}, {"iat", &c.issuedAt}} {
		if *date.target, err = o.dateMember(date.name); err != nil {
			return nil, err
		}
	}
	if c.audience, err = o.audienceMember(); err != nil {
		return nil, err
	}
	if c.subscribe, err = o.filtersMember("subscribe"); err != nil {
		return nil, err
	}
	if c.publish, err = o.filtersMember("publish"); err != nil {
		return nil, err
	}
	switch {
	case c.expires.IsZero():
		return nil, errors.New("it has no expiry time (exp)")
	case !isPlainClaim(c.subject):
		return nil, fmt.Errorf("its subject (sub) is longer than %d bytes or has control characters", maxClaimLen)
	case !isPlainClaim(c.id) || strings.TrimSpace(c.id) != c.id || strings.HasPrefix(c.id, revokedComment):
		return nil, fmt.Errorf("its id (jti) is longer than %d bytes, has control characters, begins with # or has white space at an end", maxClaimLen)
	}
	return c, nil
}

func isPlainClaim(s string) bool {
	return len(s) <= maxClaimLen && !strings.ContainsFunc(s, unicode.IsControl)
}

// object is a JSON object: the raw values of its members, by exact name.
type object map[string][]byte

// parseObject parses a JSON object in UTF-8 without duplicate names. part names the parsed part of
// the token in error messages, for example "header".
func parseObject(text []byte, part string) (object, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("its %s is not UTF-8", part)
	}
	o := object{}
	valid, err := jsonscan.Object(text)
	if err != nil {
		return nil, fmt.Errorf("its %s must be a JSON object", part)
	}
	return o, jsonscan.Members(valid, func(name string, value []byte) error {
		if _, again := o[name]; again {
			return fmt.Errorf("its %s has a duplicate member", part)
		}
		o[name] = value
		return nil
	})
}

// stringMember returns a member that must be a string, or "" if it is absent.
func (o object) stringMember(name string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", nil
	}
	if !jsonscan.IsString(raw) {
		return "", fmt.Errorf("its %s must be a string", name)
	}
	s, _ := jsonscan.DecodeString(raw)
	return s, nil
}

// dateMember returns a member that must be a NumericDate (RFC 7519 section 2), or the zero Time if
// it is absent.
func (o object) dateMember(name string) (time.Time, error) {
	raw, ok := o[name]
	if !ok {
		return time.Time{}, nil
	}
	// The first character must be a digit. This excludes negative numbers, and strings such as
	// "Inf", which ParseFloat accepts although they are not JSON numbers.
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || strings.IndexByte("0123456789", raw[0]) < 0 || n > maxDate {
		return time.Time{}, fmt.Errorf("its %s must be a number of seconds since 1970", name)
	}
	seconds, fraction := math.Modf(n)
	return time.Unix(int64(seconds), int64(fraction*1e9)), nil
}

// audienceMember returns the member aud, which must be a string or a list of strings.
func (o object) audienceMember() ([]string, error) {
	if jsonscan.IsString(o["aud"]) {
		one, _ := jsonscan.DecodeString(o["aud"])
		return []string{one}, nil
	}
	return o.listMember("aud")
}

// listMember returns a member that must be a list of strings.
func (o object) listMember(name string) ([]string, error) {
	raw, ok := o[name]
	if !ok {
		return nil, nil
	}
	notList := fmt.Errorf("its %s must be a list of strings", name)
	if raw[0] != '[' {
		return nil, notList
	}
	texts := []string{}
	err := jsonscan.Elements(raw, func(value []byte) error {
		if !jsonscan.IsString(value) {
			return notList
		}
		text, _ := jsonscan.DecodeString(value)
		texts = append(texts, text)
		return nil
	})
	return texts, err
}

// filtersMember returns a member that must be a list of topic filters.
func (o object) filtersMember(name string) ([]hub.Filter, error) {
	texts, err := o.listMember(name)
	if err != nil {
		return nil, err
	}
	if len(texts) > maxFilters {
		return nil, fmt.Errorf("its %s has more than %d filters", name, maxFilters)
	}
	filters := make([]hub.Filter, len(texts))
	for i, text := range texts {
		if filters[i], err = hub.ParseFilter(text); err != nil {
			return nil, fmt.Errorf("its %s contains an invalid topic filter: %s", name, filterErrorDetail(err))
		}
	}
	return filters, nil
}
