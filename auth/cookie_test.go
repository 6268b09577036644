package auth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const wrong = "canary-wrong"

// A token in a place other than the cookie takes precedence over the cookie, even if that token is
// invalid.
func TestOtherPlacesPrecedeCookie(t *testing.T) {
	good := New(Config{Verifier: NewStaticToken(canary, Limits{})})
	bad := New(Config{Verifier: NewStaticToken("another", Limits{})})
	for _, place := range bearers {
		for _, cookie := range []string{
			cookieName + "=" + canary, cookieName + "=another", cookieName + "=", cookieName + "=a b",
			cookieName + "=a; " + cookieName + "=b", cookieName + "=" + strings.Repeat("a", MaxTokenLen+1),
		} {
			a := attempt{target: "/ws?" + place.target, header: place.header.Clone()}
			if a.header == nil {
				a.header = http.Header{}
			}
			a.header.Set("Cookie", cookie)
			_, _, reason := try(t, good, a)
			require.NoError(t, reason, "%s and %.40s", place.name, cookie)
			_, _, reason = try(t, bad, a)
			require.ErrorIs(t, reason, ErrBadToken, "%s and %.40s", place.name, cookie)
		}
	}
}

func TestCookie(t *testing.T) {
	named, err := NewOrigins([]string{"https://app.hub.example"})
	require.NoError(t, err)
	every, err := NewOrigins([]string{"*"})
	require.NoError(t, err)
	null, err := NewOrigins([]string{"null", "https://app.hub.example"})
	require.NoError(t, err)
	const mine = cookieName + "=" + canary
	from := func(origin string, site ...string) http.Header {
		h := http.Header{"Cookie": {mine}, "Sec-Fetch-Site": site}
		if origin != "" {
			h.Set("Origin", origin)
		}
		return h
	}
	cookies := func(lines ...string) http.Header { return http.Header{"Cookie": lines} }
	basic := func(user, password string) http.Header {
		return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
	}
	plus := func(h http.Header, name, value string) http.Header {
		h.Set(name, value)
		return h
	}
	for _, c := range []struct {
		name    string
		origins *Origins
		header  http.Header
		want    error
	}{
		{"no browser", nil, from(""), nil},
		{"beside other cookies", nil, cookies("a=b; " + mine + "; c=d"), nil},
		{"the same cookie twice", nil, cookies(mine+"; "+mine, mine), nil},
		{"two different cookies", nil, cookies(mine + "; " + cookieName + "=" + wrong), ErrTwoTokens},
		{"two different cookies in two lines", nil, cookies(mine, cookieName+"="+wrong), ErrTwoTokens},
		{"over HTTPS", nil, cookies(secureCookieName + "=" + canary), nil},
		{"a wrong cookie of the old name beside the right one", nil, cookies(cookieName + "=" + wrong + "; " + secureCookieName + "=" + canary), nil},
		{"a wrong cookie beside the right one of the old name", nil, cookies(mine + "; " + secureCookieName + "=" + wrong), ErrBadToken},
		{"two different cookies of the HTTPS name", nil, cookies(secureCookieName + "=" + canary + "; " + secureCookieName + "=" + wrong), ErrTwoTokens},
		{"another name", nil, cookies("Trivium_token=" + canary), ErrNoToken},
		{"wrong", nil, cookies(cookieName + "=" + wrong), ErrBadToken},
		{"empty", nil, cookies(cookieName + "="), ErrTokenSyntax},
		{"alphabet", nil, cookies(cookieName + "=canary+/="), ErrTokenSyntax},
		{"an invalid cookie value", nil, cookies(cookieName + "=canary\x7f"), ErrNoToken},
		{"longest", nil, cookies(cookieName + "=" + strings.Repeat("a", MaxCookieTokenLen)), ErrBadToken},
		{"too long", nil, cookies(cookieName + "=" + strings.Repeat("a", MaxCookieTokenLen+1)), ErrCookieTooLong},
		{"another scheme", nil, http.Header{"Cookie": {mine}, "Authorization": {"Basic YTpi"}}, nil},
		{"Basic", nil, basic("any user", canary), nil},
		{"Basic, no user", nil, basic("", canary), nil},
		{"Basic, in mixed case", nil, http.Header{"Authorization": {"bASIC " + base64.StdEncoding.EncodeToString([]byte("a:"+canary))}}, nil},
		{"Basic, token as user name", nil, basic(canary, ""), ErrNoToken},
		{"Basic, wrong", nil, basic("a", "wrong"), ErrBadToken},
		{"Basic, password that cannot be a token", nil, basic("a", "pass word"), ErrTokenSyntax},
		{"Basic, not base64", nil, http.Header{"Authorization": {"Basic " + canary}}, ErrNoToken},
		{"Basic, beside a wrong cookie", nil, plus(basic("a", canary), "Cookie", cookieName+"="+wrong), ErrBadToken},
		{"Basic, same-origin page", nil, plus(basic("a", canary), "Sec-Fetch-Site", "same-origin"), nil},
		{"Basic, GET of a foreign page", nil, plus(basic("a", canary), "Sec-Fetch-Site", "cross-site"), ErrNoToken},
		{"Basic, an allowed page", named, plus(basic("a", canary), "Origin", "https://app.hub.example"), nil},
		{"Basic, any page", every, plus(basic("a", canary), "Origin", "https://app.hub.example"), ErrNoToken},
		{"Basic, a null page", null, plus(basic("a", canary), "Origin", "null"), ErrNoToken},

		{"a page of the same origin", nil, from("http://hub.example", "same-origin"), nil},
		{"a GET of a page of the same origin", nil, from("", "same-origin"), nil},
		{"an address that the user typed", nil, from("", "none"), nil},
		{"a GET of the same site", nil, from("", "same-site"), ErrNoToken},
		{"a GET of another site", nil, from("", "cross-site"), ErrNoToken},
		{"an unknown Sec-Fetch-Site", nil, from("", "same-planet"), ErrNoToken},
		{"two Sec-Fetch-Site headers", nil, from("", "same-origin", "same-origin"), ErrNoToken},
		{"a page of the same site", nil, from("https://app.hub.example", "same-site"), ErrForeignOrigin},
		{"an allowed page of the same site", named, from("https://app.hub.example", "same-site"), nil},
		{"an allowed page's GET without CORS", named, from("", "same-site"), ErrNoToken},
		{"another page of the same site", named, from("https://evil.hub.example", "same-site"), ErrForeignOrigin},
		{"a page of the same site, all allowed", every, from("https://app.hub.example", "same-site"), ErrNoToken},
		{"a page of the same origin, all allowed", every, from("http://hub.example", "same-origin"), nil},
		{"null, all allowed", every, from("null", "cross-site"), ErrForeignOrigin},
		{"null, allowed", null, from("null", "cross-site"), ErrNoToken},
		{"null, with Sec-Fetch-Site: same-origin", null, from("null", "same-origin"), ErrNoToken},
		{"an allowed page of the same site, null allowed too", null, from("https://app.hub.example", "same-site"), nil},
	} {
		a := attempt{host: "hub.example", header: c.header}
		_, _, reason := try(t, New(Config{Verifier: NewStaticToken(canary, Limits{}), Origins: c.origins}), a)
		require.ErrorIs(t, reason, c.want, c.name)
		if c.want != ErrForeignOrigin {
			_, _, reason = try(t, New(Config{Origins: c.origins}), a)
			require.NoError(t, reason, "an open hub reads no cookie: %s", c.name)
		}
	}
}

// brief is a Verifier whose tokens expire a fixed time after their verification (the field left).
type brief struct{ left time.Duration }

func (b brief) Verify(_ context.Context, _ *http.Request, token string) (*Credential, error) {
	if !strings.HasPrefix(token, "canary") {
		return nil, ErrTokenEnded
	}
	return &Credential{Expires: time.Now().Add(b.left)}, nil
}

func (b brief) Recheck(c *Credential) (*Credential, error) { return c, nil }

func TestSessionCookie(t *testing.T) {
	named, err := NewOrigins([]string{"https://app.hub.example"})
	require.NoError(t, err)
	const attributes = "; HttpOnly; SameSite=Strict"
	bearing := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	with := func(h http.Header, name, value string) http.Header {
		h = h.Clone()
		h.Set(name, value)
		return h
	}
	static := NewStaticToken(canary, Limits{})
	longest := "canary" + strings.Repeat("a", MaxCookieTokenLen-len("canary"))
	const set, gone = cookieName + "=" + canary + "; Path=/", cookieName + "=; Path=/; Max-Age=0"
	for _, c := range []struct {
		attempt
		verifier Verifier
		cookie   string
	}{
		{attempt{name: "no expiry", header: bearing(canary)}, static, set + attributes},
		{attempt{name: "over TLS", tls: true, header: bearing(canary)}, static, "__Host-" + set + "; HttpOnly; Secure; SameSite=Strict"},
		{attempt{name: "over TLS to a trusted proxy", peer: "10.1.2.3:4", header: with(bearing(canary), "X-Forwarded-Proto", "https")},
			static, "__Host-" + set + "; HttpOnly; Secure; SameSite=Strict"},
		{attempt{name: "X-Forwarded-Proto of an untrusted peer", header: with(bearing(canary), "X-Forwarded-Proto", "https")}, static, set + attributes},
		{attempt{name: "an hour left", header: bearing(canary)}, brief{time.Hour},
			set + "; Expires=Sat, 01 Jan 2000 01:00:00 GMT; Max-Age=3600" + attributes},
		{attempt{name: "less than a second left", header: bearing(canary)}, brief{time.Second / 2},
			set + "; Expires=Sat, 01 Jan 2000 00:00:00 GMT; Max-Age=1" + attributes},
		{attempt{name: "a century left", header: bearing(canary)}, brief{100 * 365 * 24 * time.Hour},
			set + "; Expires=Mon, 07 Dec 2099 00:00:00 GMT; Max-Age=34560000" + attributes},
		{attempt{name: "the longest", header: bearing(longest)}, brief{time.Hour},
			cookieName + "=" + longest + "; Path=/; Expires=Sat, 01 Jan 2000 01:00:00 GMT; Max-Age=3600" + attributes},
		{attempt{name: "an old cookie in the request", header: with(bearing(canary), "Cookie", cookieName+"="+wrong)}, static, set + attributes},
		{attempt{name: "a page of the same origin", header: with(bearing(canary), "Origin", "http://hub.example")}, static, set + attributes},
		{attempt{name: "a page of an allowed origin", header: with(bearing(canary), "Origin", "https://app.hub.example")}, static, set + attributes},
		{attempt{name: "an open hub"}, nil, ""},
		{attempt{name: "an open hub, and a token", header: bearing("any+")}, nil, ""},

		{attempt{name: "too long", header: bearing(longest + "a"), want: ErrCookieTooLong}, static, ""},
		{attempt{name: "no token", want: ErrNoToken}, static, ""},
		{attempt{name: "the cookie only", header: http.Header{"Cookie": {cookieName + "=" + canary}}, want: ErrNoToken}, static, ""},
		{attempt{name: "in the query", target: "/session?access_token=" + canary, want: ErrNotBearer}, static, ""},
		{attempt{name: "in the query of an open hub", target: "/session?access_token=" + canary, want: ErrNotBearer}, nil, ""},
		{attempt{name: "in the subprotocol", header: bearers[2].header, want: ErrNotBearer}, static, ""},
		{attempt{name: "in two places", target: "/session?access_token=" + canary, header: bearing(canary), want: ErrTwoTokens}, static, ""},
		{attempt{name: "another scheme", header: http.Header{"Authorization": {"Basic YTpi"}}, want: ErrNoToken}, static, ""},
		{attempt{name: "an invalid token", header: bearing("canary; Domain=evil.test"), want: ErrTokenSyntax}, static, ""},
		{attempt{name: "wrong", header: bearing(wrong), want: ErrBadToken}, static, ""},
		{attempt{name: "an expired token", header: bearing("late"), want: ErrTokenEnded}, brief{}, ""},
		{attempt{name: "a foreign page", header: with(bearing(canary), "Origin", "https://evil.test"), want: ErrForeignOrigin}, static, ""},
		{attempt{name: "a foreign Host", host: "evil.test", header: bearing(canary), want: ErrHost}, static, ""},

		{attempt{name: "end of a session", method: http.MethodDelete}, static, gone + attributes},
		{attempt{name: "end of a session, over TLS", method: http.MethodDelete, tls: true}, static, "__Host-" + gone + "; HttpOnly; Secure; SameSite=Strict"},
		{attempt{name: "end of a session, with an expired token", method: http.MethodDelete, header: bearing("late")}, brief{}, gone + attributes},
		{attempt{name: "end of a session, open hub", method: http.MethodDelete}, nil, gone + attributes},
		{attempt{name: "end of a session by a foreign page", method: http.MethodDelete, header: http.Header{"Origin": {"null"}}, want: ErrForeignOrigin}, static, ""},
		{attempt{name: "GET", method: http.MethodGet, header: bearing(canary), want: ErrMethod}, static, ""},
		{attempt{name: "PUT", method: http.MethodPut, header: bearing(canary), want: ErrMethod}, static, ""},
		{attempt{name: "OPTIONS", method: http.MethodOptions, want: ErrMethod}, static, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			hosts, err := NewHostPolicy("hub.example")
			require.NoError(t, err)
			g := New(Config{Verifier: c.verifier, Hosts: hosts, Origins: named, Proxies: testProxies(t)})
			if c.host == "" {
				c.host = "hub.example"
			}
			if c.method == "" {
				c.method = http.MethodPost
			}
			var reason error
			w := httptest.NewRecorder()
			g.Session(func(_ http.ResponseWriter, _ *http.Request, err error) { reason = err }).ServeHTTP(w, c.request())
			require.ErrorIs(t, reason, c.want, c.name)
			require.Equal(t, c.want == ErrMethod, w.Header().Get("Allow") == "DELETE, POST", c.name)
			require.Equal(t, c.cookie, w.Header().Get("Set-Cookie"), c.name)
			if c.want == nil {
				require.Equal(t, http.StatusNoContent, w.Code, c.name)
				require.Equal(t, "no-store", w.Header().Get("Cache-Control"), c.name)
			} else {
				require.NotContains(t, reason.Error(), "canary")
			}
			if origin := c.header.Get("Origin"); origin == "https://app.hub.example" {
				require.Equal(t, origin, w.Header().Get("Access-Control-Allow-Origin"))
				require.Equal(t, "true", w.Header().Get("Access-Control-Allow-Credentials"))
			}
		})
	}
}

// Over HTTPS, the hub removes a cookie that an older version has set under the name without the
// prefix __Host-.
func TestSessionReplacesTheOldName(t *testing.T) {
	g := New(Config{Verifier: NewStaticToken(canary, Limits{})})
	for method, value := range map[string]string{http.MethodPost: canary, http.MethodDelete: ""} {
		w := httptest.NewRecorder()
		asked := attempt{method: method, tls: true, header: http.Header{
			"Authorization": {"Bearer " + canary}, "Cookie": {cookieName + "=" + wrong}}}
		g.Session(nil).ServeHTTP(w, asked.request())
		cookies := w.Result().Cookies()
		require.Len(t, cookies, 2, method)
		require.Equal(t, []string{secureCookieName, value}, []string{cookies[0].Name, cookies[0].Value})
		require.Equal(t, []string{cookieName, ""}, []string{cookies[1].Name, cookies[1].Value})
		require.Negative(t, cookies[1].MaxAge)
	}
}

// A request from a page is authenticated by the cookie that POST has set.
func TestSessionCookieAuthenticates(t *testing.T) {
	g := New(Config{Verifier: NewStaticToken(canary, Limits{})})
	w := httptest.NewRecorder()
	asked := attempt{method: http.MethodPost, header: http.Header{"Authorization": {"Bearer " + canary}}}
	g.Session(nil).ServeHTTP(w, asked.request())
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	sent := http.Header{"Cookie": {cookies[0].Name + "=" + cookies[0].Value}, "Sec-Fetch-Site": {"same-origin"}}
	grant, _, reason := try(t, g, attempt{header: sent})
	require.NoError(t, reason)
	require.Equal(t, "default", grant.Subject)
}
