package hostile

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

var tokenAttacks = []attack{
	{"a request without a token", noToken},
	{"a wrong token, and a valid one with small changes", wrongToken},
	{"an expired token", expiredToken},
	{"a token that is not valid yet", tokenNotYet},
	{"a token in each place of a request that can contain one, and in two of these places at once", tokenPlaces},
	{"two token cookies with different values", twoCookies},
	{"a token that consists of a million dots", dots},
	{"a JWT with a forged signature", forgedSignature},
	{"a JWT with the algorithm none, in upper, lower and mixed case", algNone},
	{"an HS256 JWT that is signed with the public RS256 key as the secret", confusedAlgorithm},
	{"ES256 signatures that are made with another curve, encoded in DER, or all zeros", badCurve},
	{"a key ID (kid) that belongs to another key, or that contains a path or SQL", strangeKid},
	{"a flood of JWTs with unknown key IDs (kid)", kidFlood},
	{"a JWT that contains or names its own key (jwk, jku, x5u, crit)", ownKeys},
	{"a JWT for another issuer or audience", otherIssuer},
	{"a JWT with claims of a wrong type, duplicate claims, or missing claims", wrongClaims},
}

// tokenRoutes lists all routes that require a token.
var tokenRoutes = []string{"GET /sse", "GET /ws", pollNow, "POST /publish/hostile", "POST /publish", "POST /session"}

// requireRefusedEverywhere requires that every route refuses a token with the status.
func (f *testbed) requireRefusedEverywhere(t *testing.T, status int, token string, header ...string) {
	t.Helper()
	for _, target := range tokenRoutes {
		f.requireRefusedAt(t, target, status, token, header...)
	}
}

func (f *testbed) requireRefusedAt(t *testing.T, target string, status int, token string, header ...string) {
	t.Helper()
	r := request{line: target, token: token, header: header}
	if strings.HasPrefix(target, "POST") {
		r.body = breachIn("hostile")
	}
	x := f.do(t, r)
	require.Equal(t, status, x.status, "%s %.100s %v %s", target, token, header, x.body)
	if status == http.StatusUnauthorized {
		require.Contains(t, x.header.Get("WWW-Authenticate"), "Bearer")
	}
}

// requireRefused requires that a route for subscribing and a route for publishing refuse a token.
// Tests with many tokens use it instead of requireRefusedEverywhere, to save time.
func (f *testbed) requireRefused(t *testing.T, token string) {
	t.Helper()
	f.requireRefusedAt(t, pollNow, http.StatusUnauthorized, token)
	f.requireRefusedAt(t, "POST /publish", http.StatusUnauthorized, token)
}

// requireAccepted requires that the hub accepts a token. This shows that the hub refuses a similar token only
// because of the part that differs.
func (f *testbed) requireAccepted(t *testing.T, token string, header ...string) {
	t.Helper()
	x := f.do(t, request{line: pollNow, token: token, header: header})
	require.Equal(t, http.StatusOK, x.status, x.body)
}

func noToken(t *testing.T, f *testbed) {
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, "")
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, "", "Authorization: Basic "+hubtest.Basic(f.tokens["master"], ""))
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, "", "Authorization: Basic "+b64([]byte("user:"+f.tokens["master"]+"\xff")))
	for _, empty := range []string{"Authorization: Bearer", "Authorization: Bearer  ", "Authorization:", "Cookie: trivium_token="} {
		f.requireRefusedEverywhere(t, http.StatusUnauthorized, "", empty)
	}
	f.requireRefusedAt(t, "GET /sse?access_token=", http.StatusUnauthorized, "")
	require.NotContains(t, f.do(t, request{line: pollNow}).header.Get("WWW-Authenticate"), "error")
}

func wrongToken(t *testing.T, f *testbed) {
	right := f.tokens["master"]
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, f.secret(rand.Text()))
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, f.secret(fmt.Sprintf("%x", sha256.Sum256([]byte(right))))) // the tokens file contains this hash, which is not a token
	for i := range right {
		f.requireRefusedAt(t, pollNow, http.StatusUnauthorized, right[:i]+"x"+right[i+1:])
	}
	for _, wrong := range []string{
		strings.ToLower(right), right[1:], right[:len(right)-1], right + "A", right + ".", right + right, "\"" + right + "\"",
		right + "," + right, right + "; " + right, right + "\x80", right + "\u00e9", strings.Repeat("A", 8193),
	} {
		f.requireRefused(t, f.secret(wrong))
	}
	for _, wrong := range []string{right + "%00", right + "%0d%0aX-A:b", right + "+", "%20" + right, "%ff", "%2527"} {
		f.requireRefusedAt(t, "GET /sse?access_token="+wrong, http.StatusUnauthorized, "")
	}
	f.requireAccepted(t, right)
}

func expiredToken(t *testing.T, f *testbed) {
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, f.tokens["ended"])
	now := time.Now()
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, f.jwt(map[string]string{"exp": at(now.Add(-time.Hour))}))
	for _, past := range []string{"0", "0.001", "1", at(now), fmt.Sprint(now.Unix() - 1)} {
		for _, k := range f.keys() {
			f.requireRefused(t, f.sign(k.private, k.header, claims(map[string]string{"exp": past})))
		}
	}
}

func tokenNotYet(t *testing.T, f *testbed) {
	// Tokens are accepted if the issuer's clock is ahead by at most a minute.
	for _, k := range f.keys() {
		f.requireAccepted(t, f.sign(k.private, k.header, claims(map[string]string{"nbf": at(time.Now().Add(50 * time.Second)), "iat": at(time.Now().Add(50 * time.Second))})))
	}
	soon := time.Now().Add(2 * time.Minute)
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, f.jwt(map[string]string{"nbf": at(soon)}))
	for _, k := range f.keys() {
		f.requireRefused(t, f.sign(k.private, k.header, claims(map[string]string{"nbf": at(soon)})))
		f.requireRefused(t, f.sign(k.private, k.header, claims(map[string]string{"nbf": "253402300799"})))
	}
}

// place is a part of a request that can contain a token: the request line or a header line.
type place struct {
	name   string
	target func(line, token string) string // adds the token to the request line; nil for a header line
	header func(token string) string       // returns the header line; nil for the request line
}

var places = []place{
	{"header", nil, func(token string) string { return "Authorization: Bearer " + token }},
	{"query", func(line, token string) string {
		if strings.Contains(line, "?") {
			return line + "&access_token=" + token
		}
		return line + "?access_token=" + token
	}, nil},
	{"subprotocol", nil, func(token string) string { return "Sec-WebSocket-Protocol: trivium.v1, trivium.bearer." + token }},
	{"cookie", nil, func(token string) string { return "Cookie: a=b; trivium_token=" + token + "; c=d" }},
}

// tryPlaces sends a request that contains one or more tokens, and requires the given status. The map in
// contains the tokens; the key of a token is the index of its place in places.
func (f *testbed) tryPlaces(t *testing.T, status int, target string, in map[int]string) {
	t.Helper()
	r := request{line: target}
	if strings.HasPrefix(target, "POST") {
		r.body = `{"topic":"hostile","data":"let in"}`
		if status >= 400 {
			r.body = breachIn("hostile")
		}
	}
	for i, token := range in {
		if p := places[i]; p.target != nil {
			r.line = p.target(r.line, token)
		} else {
			r.header = append(r.header, p.header(token))
		}
	}
	x := f.do(t, r)
	require.Equal(t, status, x.status, "%s %v %s", target, in, x.body)
	require.NotContains(t, fmt.Sprint(x.header), f.tokens["master"], "the answer does not contain the token")
}

func tokenPlaces(t *testing.T, f *testbed) {
	const header, query, subprotocol, cookie = 0, 1, 2, 3
	right, other, wrong := f.tokens["master"], f.tokens["reader"], f.secret(rand.Text())
	for _, target := range []string{"GET /sse", "GET /ws", pollNow, "POST /publish", "POST /publish/hostile"} {
		for i := range places {
			if i == subprotocol && target != "GET /ws" {
				continue // only /ws accepts a token as a subprotocol
			}
			f.tryPlaces(t, http.StatusOK, target, map[int]string{i: right})
			f.tryPlaces(t, http.StatusUnauthorized, target, map[int]string{i: wrong})
			for j := range i {
				switch {
				case j == subprotocol && target != "GET /ws":
				case i == cookie: // the token in the other place takes precedence over the cookie
					f.tryPlaces(t, http.StatusOK, target, map[int]string{i: wrong, j: right})
					f.tryPlaces(t, http.StatusUnauthorized, target, map[int]string{i: right, j: wrong})
				default:
					f.tryPlaces(t, http.StatusBadRequest, target, map[int]string{i: right, j: right})
					f.tryPlaces(t, http.StatusBadRequest, target, map[int]string{i: right, j: other})
				}
			}
		}
		f.tryPlaces(t, http.StatusUnauthorized, target+strings.Repeat("?", 1-min(1, strings.Count(target, "?")))+"&ACCESS_TOKEN="+right, nil)
		f.requireRefusedAt(t, target, http.StatusBadRequest, right, "Authorization: Bearer "+right)
		f.requireRefusedAt(t, target, http.StatusBadRequest, right, "Authorization: Basic YTpi")
		f.requireRefusedAt(t, target, http.StatusUnauthorized, "", "X-Access-Token: "+right, "Proxy-Authorization: Bearer "+right,
			"Referer: http://"+f.main.HTTP+"/?access_token="+right)
	}
	f.tryPlaces(t, http.StatusBadRequest, pollNow+"&access_token="+right, map[int]string{query: right})
	f.requireRefusedAt(t, "GET /ws", http.StatusBadRequest, "", "Sec-WebSocket-Protocol: trivium.bearer."+right)
	f.requireRefusedAt(t, "GET /ws", http.StatusBadRequest, "", "Sec-WebSocket-Protocol: trivium.v1, trivium.bearer."+right, "Sec-WebSocket-Protocol: trivium.bearer."+other)
	f.requireRefusedAt(t, "POST /publish/hostile", http.StatusUnauthorized, "", places[subprotocol].header(right))
	x := f.do(t, request{line: "GET /ws", header: []string{places[subprotocol].header(right)}})
	require.Equal(t, "trivium.v1", x.header.Get("Sec-WebSocket-Protocol"))
	x = f.do(t, request{line: "POST /session", header: []string{places[cookie].header(right)}, body: "{}"})
	require.Equal(t, http.StatusUnauthorized, x.status, "a cookie does not create a session")
	// A token can also be the password of basic authentication. It is ignored if the request has a cookie
	// with a token, or may come from a page of another site.
	for _, target := range []string{"GET /sse", "GET /ws", pollNow, "POST /publish", "POST /publish/hostile"} {
		basic := "Authorization: Basic " + hubtest.Basic("anybody", right)
		f.requireRefusedAt(t, target, http.StatusUnauthorized, "", "Authorization: Basic "+hubtest.Basic(right, wrong))
		f.requireRefusedAt(t, target, http.StatusUnauthorized, "", basic, "Cookie: trivium_token="+wrong)
		f.requireRefusedAt(t, target, http.StatusUnauthorized, "", basic, "Sec-Fetch-Site: cross-site")
		f.requireRefusedAt(t, target, http.StatusBadRequest, "", basic, basic)
		x := f.do(t, withBody(request{line: target, header: []string{basic, "Origin: https://evil.test"}}))
		require.Equal(t, http.StatusForbidden, x.status, target)
		r := request{line: target, header: []string{basic}}
		if strings.HasPrefix(target, "POST") {
			r.body = `{"topic":"hostile","data":"let in"}`
		}
		x = f.do(t, r)
		require.Equal(t, http.StatusOK, x.status, "%s %s", target, x.body)
	}
	require.Equal(t, "no-referrer", f.do(t, request{line: pollNow + "&access_token=" + right}).header.Get("Referrer-Policy"))
}

func twoCookies(t *testing.T, f *testbed) {
	right, other := f.tokens["master"], f.tokens["reader"]
	for _, target := range []string{"GET /sse", "GET /ws", pollNow, "POST /publish"} {
		for _, two := range [][]string{
			{"Cookie: trivium_token=" + right + "; trivium_token=" + other},
			{"Cookie: trivium_token=" + right, "Cookie: trivium_token=" + other},
			{"Cookie: trivium_token=; trivium_token=" + right},
		} {
			f.requireRefusedAt(t, target, http.StatusBadRequest, "", two...)
		}
	}
	f.requireAccepted(t, "", "Cookie: trivium_token="+right+"; trivium_token="+right)
	f.requireRefusedEverywhere(t, http.StatusUnauthorized, "", "Cookie: Trivium_Token="+right+"; trivium_tokens="+right+"; xtrivium_token="+right)
}

func dots(t *testing.T, f *testbed) {
	many := strings.Repeat(".", 1<<20)
	for _, target := range tokenRoutes {
		f.requireRefusedAt(t, target, http.StatusRequestHeaderFieldsTooLarge, many)
		f.requireRefusedAt(t, target, http.StatusUnauthorized, many[:3<<10])
	}
	f.requireRefused(t, many[:8<<10])
	f.requireRefusedAt(t, "GET /sse?access_token="+many, http.StatusRequestHeaderFieldsTooLarge, "")
	f.requireRefusedAt(t, "GET /sse?access_token="+many[:8<<10], http.StatusUnauthorized, "")
	f.requireRefusedAt(t, pollNow, http.StatusBadRequest, "", "Cookie: trivium_token="+many[:8<<10])
	x := f.do(t, request{line: "POST /publish", token: f.tokens["master"], body: many})
	require.Equal(t, http.StatusBadRequest, x.status)

	x = f.start(t, request{line: "GET /ws", token: f.tokens["master"]})
	require.Equal(t, http.StatusUnauthorized, f.command(t, x, `{"op":"auth","token":"`+many[:60<<10]+`"}`).Problem.Status)
	f.command(t, x, `{"op":"ping"}`) // the connection is still open
	go func() { _, _ = x.conn.Write(clientFrame(bitFin|opText, []byte(`{"op":"auth","token":"`+many+`"}`))) }()
	code := 0
	for code == 0 { // events of other attacks may arrive before the close frame
		var err error
		_, code, err = x.message()
		require.NoError(t, err)
	}
	require.Equal(t, 1009, code)
}
