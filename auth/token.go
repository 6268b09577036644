package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/trivium-hub/trivium/hub"
)

// MaxTokenLen is the longest token, in bytes.
const MaxTokenLen = 8 << 10

// The places of a token beside Authorization, and the subprotocol that the hub chooses.
const (
	queryToken     = "access_token"
	bearerProtocol = "trivium.bearer."
	protocol       = "trivium.v1"
)

// NewToken makes a random token of at least 128 bits.
func NewToken() string { return rand.Text() }

// NewStaticToken makes a Verifier that knows one token, and grants everything to it under the
// subject "default".
func NewStaticToken(token string, limits Limits) Verifier {
	return &staticToken{Credential{
		Hash:   sha256.Sum256([]byte(token)),
		Grant:  everything("default"),
		Limits: limits,
	}}
}

type staticToken struct{ credential Credential }

func (s *staticToken) Verify(token string) (*Credential, error) {
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], s.credential.Hash[:]) != 1 {
		return nil, ErrBadToken
	}
	return &s.credential, nil
}

func (s *staticToken) Recheck(*Credential) (*Credential, error) { return &s.credential, nil }

var all = hub.NewFilterSet(hub.Everything)

// everything is the grant of the whole hub.
func everything(subject string) *hub.Grant {
	return &hub.Grant{Subject: subject, Subscribe: all, Publish: all}
}

// validToken reports whether s is made as a token is; then every place can carry it.
func validToken(s string) bool {
	return s != "" && len(s) <= MaxTokenLen && !strings.ContainsFunc(s, func(r rune) bool {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return false
		}
		return !strings.ContainsRune("-._~", r)
	})
}

// findToken gives what stands in the one place of a token that the request uses, cookies aside. The
// error is ErrTwoTokens or ErrLoneBearer.
func findToken(r *http.Request, query url.Values) (token string, present bool, err error) {
	// Authorization is one field (RFC 9110 section 11.6.2): of two, nobody knows which is meant.
	if len(r.Header["Authorization"]) > 1 {
		return "", false, ErrTwoTokens
	}
	found := append(bearer(r), query[queryToken]...)
	if isWebSocket(r) {
		offered := list(r.Header["Sec-Websocket-Protocol"])
		for _, p := range offered {
			if token, ok := strings.CutPrefix(p, bearerProtocol); ok {
				found = append(found, token)
				if !slices.Contains(offered, protocol) {
					err = ErrLoneBearer
				}
			}
		}
	}
	switch {
	case len(found) > 1:
		return "", false, ErrTwoTokens
	case err != nil || len(found) == 0:
		return "", false, err
	}
	return found[0], true, nil
}

// bearer gives what stands in Authorization: Bearer, nil if it is not there. Another scheme is no
// token of ours: it may be meant for a proxy in between.
func bearer(r *http.Request) []string {
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	return []string{strings.Trim(credentials, " ")}
}

// isWebSocket reports whether the request asks for an upgrade (RFC 6455 section 4.2.1).
func isWebSocket(r *http.Request) bool {
	return slices.ContainsFunc(list(r.Header["Upgrade"]), func(s string) bool {
		return strings.EqualFold(s, "websocket")
	})
}

// list gives the elements of a field that is a comma-separated list, over all its lines (RFC 9110
// section 5.6.1).
func list(lines []string) []string {
	var elements []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			elements = append(elements, strings.Trim(element, " \t"))
		}
	}
	return elements
}
