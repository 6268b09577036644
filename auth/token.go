package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/trivium-hub/trivium/hub"
)

// MaxTokenLen is the maximum length of a token in bytes.
const MaxTokenLen = 8 << 10

// The query parameter and the subprotocol prefix with which a token can be sent, and the
// subprotocol that the hub selects.
const (
	queryToken     = "access_token"
	bearerProtocol = "trivium.bearer."
	protocol       = "trivium.v1"
)

// NewToken returns a random token of at least 128 bits.
func NewToken() string { return rand.Text() }

// NewStaticToken returns a Verifier that accepts a single token, which has all rights and the
// subject "default".
func NewStaticToken(token string, limits Limits) Verifier {
	return &staticToken{Credential{
		Hash:   sha256.Sum256([]byte(token)),
		Grant:  everything("default"),
		Limits: limits,
	}}
}

type staticToken struct{ credential Credential }

func (s *staticToken) Verify(_ context.Context, _ *http.Request, token string) (*Credential, error) {
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], s.credential.Hash[:]) != 1 {
		return nil, ErrBadToken
	}
	return &s.credential, nil
}

func (s *staticToken) Recheck(*Credential) (*Credential, error) { return &s.credential, nil }

var all = hub.NewFilterSet(hub.Everything)

// everything returns a grant with all rights.
func everything(subject string) *Grant {
	return &Grant{Subject: subject, Subscribe: all, Publish: all}
}

// CheckToken returns nil if the string can be used as a token, in any place of a request that may
// contain a token. Otherwise it returns an error.
func CheckToken(s string) error {
	if !isToken(s) {
		return ErrTokenSyntax
	}
	return nil
}

// isToken reports whether s can be a token (docs/protocol.md#authentication). Tokens are sent in
// the same places as cursors, and therefore consist of the same characters.
func isToken(s string) bool {
	return s != "" && len(s) <= MaxTokenLen && strings.Trim(s, hub.CursorChars) == ""
}

// findToken returns the token of a request, unless it is in a cookie. The error is ErrTwoTokens or
// ErrLoneBearer.
func findToken(r *http.Request, query url.Values) (token string, present bool, err error) {
	// A second Authorization header is an error (RFC 9110 section 11.6.2), because it would be
	// unclear which one is meant.
	if len(r.Header["Authorization"]) > 1 {
		return "", false, ErrTwoTokens
	}
	found := append(bearerToken(r), query[queryToken]...)
	if isWebSocket(r) {
		offered := listElements(r.Header["Sec-Websocket-Protocol"])
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

// bearerToken returns the token in Authorization: Bearer, as a list with one element, or nil if
// there is none. It ignores other schemes, because they may be meant for a proxy.
func bearerToken(r *http.Request) []string {
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	return []string{strings.Trim(credentials, " ")}
}

// isWebSocket reports whether the request is a WebSocket handshake (RFC 6455 section 4.2.1).
func isWebSocket(r *http.Request) bool {
	return httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket")
}

// listElements returns the elements of a comma-separated header. The header may have several lines
// (RFC 9110 section 5.6.1).
func listElements(lines []string) []string {
	var elements []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			elements = append(elements, strings.Trim(element, " \t"))
		}
	}
	return elements
}
