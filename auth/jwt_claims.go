package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
)

const (
	maxClaimLen = 256          // bytes of sub and jti
	maxDate     = 253402300799 // seconds since 1970, the end of the year 9999
)

// strict refuses stray bits at the end, so that a token has one spelling.
var strict = base64.RawURLEncoding.Strict()

func decodeSegment(s string) ([]byte, error) { return strict.DecodeString(s) }

// header is the JOSE header of a token (RFC 7515 section 4), as far as it is looked at. Keys and
// URLs that stand in it (jwk, x5c, jku, x5u) are passed over: who signs does not say by what to
// judge.
type header struct {
	alg string
	kid string // "" if it has none
}

// parseHeader says what is wrong without repeating it.
func parseHeader(text []byte) (header, error) {
	var h header
	o, err := parseObject(text, "header")
	if err != nil {
		return h, err
	}
	if _, ok := o["crit"]; ok {
		return h, errors.New("its header has crit, and the hub knows no extension")
	}
	if raw, ok := o["b64"]; ok && string(raw) != "true" {
		return h, errors.New("its header has b64, and the hub knows no other than true")
	}
	if h.alg, err = o.text("alg"); err != nil {
		return h, err
	}
	if h.kid, err = o.text("kid"); err != nil {
		return h, err
	}
	if _, err = o.text("typ"); err != nil {
		return h, err
	}
	if !knownAlg(h.alg) {
		return h, fmt.Errorf("its algorithm (alg) is none of %s", strings.Join(algs, ", "))
	}
	return h, nil
}

// claims are of a token's payload, each of the type it must have (RFC 7519 section 4.1).
type claims struct {
	issuer, subject, id string // "" if absent
	audience            []string
	expires             time.Time
	notBefore, issuedAt time.Time // zero if absent
	subscribe, publish  []hub.Filter
}

// parseClaims says what is wrong without repeating it. Members that it does not know are passed
// over; case counts, as encoding/json would have it not.
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
		if *text.target, err = o.text(text.name); err != nil {
			return nil, err
		}
	}
	for _, date := range []struct {
		name   string
		target *time.Time
	}{{"exp", &c.expires}, {"nbf", &c.notBefore}, {"iat", &c.issuedAt}} {
		if *date.target, err = o.date(date.name); err != nil {
			return nil, err
		}
	}
	if c.audience, err = o.audience(); err != nil {
		return nil, err
	}
	if c.subscribe, err = o.filters("subscribe"); err != nil {
		return nil, err
	}
	if c.publish, err = o.filters("publish"); err != nil {
		return nil, err
	}
	switch {
	case c.expires.IsZero():
		return nil, errors.New("it has no end (exp)")
	case !plain(c.subject):
		return nil, fmt.Errorf("its subject (sub) is longer than %d bytes or has control characters", maxClaimLen)
	case !plain(c.id) || strings.TrimSpace(c.id) != c.id || strings.HasPrefix(c.id, revokedComment):
		return nil, fmt.Errorf("its id (jti) is longer than %d bytes, or no line of a file of revoked ids could name it", maxClaimLen)
	}
	return c, nil
}

func plain(s string) bool {
	return len(s) <= maxClaimLen && !strings.ContainsFunc(s, unicode.IsControl)
}

// object is a JSON object by its members' exact names.
type object map[string]json.RawMessage

// parseObject takes one JSON object in UTF-8 with no name twice. The part of the token is named
// in the error.
func parseObject(text []byte, part string) (object, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("its %s is not UTF-8", part)
	}
	noObject := fmt.Errorf("its %s is no JSON object", part)
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, noObject
	}
	o := object{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, noObject
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, noObject
		}
		if _, again := o[name.(string)]; again { // the decoder takes nothing else for a name
			return nil, fmt.Errorf("its %s has a member twice", part)
		}
		o[name.(string)] = raw
	}
	if _, err := decoder.Token(); err != nil {
		return nil, noObject
	}
	if decoder.InputOffset() != int64(len(bytes.TrimRight(text, " \t\r\n"))) {
		return nil, noObject
	}
	return o, nil
}

// text gives a member that is a string, "" if it is absent.
func (o object) text(name string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", nil
	}
	s, ok := jsonText(raw)
	if !ok {
		return "", fmt.Errorf("its %s is no string", name)
	}
	return s, nil
}

// jsonText asks for the quotes: null is taken for a string by encoding/json.
func jsonText(raw json.RawMessage) (s string, ok bool) {
	return s, raw[0] == '"' && json.Unmarshal(raw, &s) == nil
}

// date gives a member that is a NumericDate (RFC 7519 section 2), the zero Time if it is absent.
func (o object) date(name string) (time.Time, error) {
	raw, ok := o[name]
	if !ok {
		return time.Time{}, nil
	}
	// In JSON, what is no number begins with none of its characters.
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || strings.IndexByte("0123456789", raw[0]) < 0 || n > maxDate {
		return time.Time{}, fmt.Errorf("its %s is no number of seconds since 1970", name)
	}
	seconds, fraction := math.Modf(n)
	return time.Unix(int64(seconds), int64(fraction*1e9)), nil
}

// audience gives aud, which is a string or a list of them.
func (o object) audience() ([]string, error) {
	raw, ok := o["aud"]
	if !ok {
		return nil, nil
	}
	if one, ok := jsonText(raw); ok {
		return []string{one}, nil
	}
	return o.list("aud")
}

// list gives a member that is a list of strings.
func (o object) list(name string) ([]string, error) {
	raw, ok := o[name]
	if !ok {
		return nil, nil
	}
	wrong := fmt.Errorf("its %s is no list of strings", name)
	var elements []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &elements) != nil {
		return nil, wrong
	}
	texts := make([]string, len(elements))
	for i, element := range elements {
		if texts[i], ok = jsonText(element); !ok {
			return nil, wrong
		}
	}
	return texts, nil
}

// filters gives a member that is a list of topic filters.
func (o object) filters(name string) ([]hub.Filter, error) {
	texts, err := o.list(name)
	if err != nil {
		return nil, err
	}
	if len(texts) > maxFilters {
		return nil, fmt.Errorf("its %s has more than %d filters", name, maxFilters)
	}
	filters := make([]hub.Filter, len(texts))
	for i, text := range texts {
		if filters[i], err = hub.ParseFilter(text); err != nil {
			return nil, fmt.Errorf("its %s has what is no topic filter: %s", name, filterFault(err))
		}
	}
	return filters, nil
}
