package auth

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const canary = "canary-7.Q_z~secret"

// attempt is a request and its expected result. The field want is the error with which the request
// is refused, or nil if it is accepted.
type attempt struct {
	name   string
	method string      // default: GET
	target string      // default: /sse
	host   string      // default: hub.example
	header http.Header // keys in canonical form
	tls    bool
	peer   string // default: 192.0.2.1:1234
	http10 bool
	want   error
}

func (a attempt) request() *http.Request {
	target := a.target
	if target == "" {
		target = "/sse"
	}
	r := httptest.NewRequest(cmp.Or(a.method, http.MethodGet), target, nil)
	r.RemoteAddr = cmp.Or(a.peer, r.RemoteAddr)
	r.Host = a.host
	for name, lines := range a.header {
		for _, line := range lines {
			r.Header.Add(name, line)
		}
	}
	if a.tls {
		r.TLS = &tls.ConnectionState{}
	}
	if a.http10 {
		r.ProtoMinor = 0
	}
	local := &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7"), Port: 3000}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
}

// try sends a request through the middleware. It returns the grant of an accepted request, or the
// reason of the refusal.
func try(t *testing.T, g *Middleware, a attempt) (grant *Grant, header http.Header, reason error) {
	t.Helper()
	answers := 0
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		answers++
		grant = AccessFrom(r.Context()).Grant()
		require.NotNil(t, grant)
	})
	refuse := func(_ http.ResponseWriter, _ *http.Request, err error) {
		answers++
		reason = err
		require.Error(t, err)
		require.NotContains(t, err.Error(), "canary")
	}
	w := httptest.NewRecorder()
	g.Wrap(refuse)(next).ServeHTTP(w, a.request())
	require.Equal(t, 1, answers, "a request is passed on or refused exactly once")
	return grant, w.Header(), reason
}

// bearers lists the places, other than the cookie and Authorization: Basic, in which a request can
// contain a token. A request with tokens in two of these places is refused.
var bearers = []struct {
	name   string
	target string
	header http.Header
}{
	{name: "header", header: http.Header{"Authorization": {"Bearer " + canary}}},
	{name: "query", target: "access_token=" + canary},
	{name: "subprotocol", header: http.Header{
		"Upgrade":                {"websocket"},
		"Sec-Websocket-Protocol": {"trivium.v1, trivium.bearer." + canary},
	}},
}

func TestTokenInEachPlace(t *testing.T) {
	closed := New(Config{Verifier: NewStaticToken(canary, Limits{})})
	open := New(Config{})
	for i, first := range bearers {
		a := attempt{target: "/ws?" + first.target, header: first.header}
		grant, header, reason := try(t, closed, a)
		require.NoError(t, reason, first.name)
		require.Equal(t, "default", grant.Subject)
		require.True(t, grant.MayPublish("a.b"))
		_, ok := grant.MaySubscribe(hub.NewFilterSet(hub.Everything))
		require.True(t, ok)
		require.Equal(t, first.target != "", header.Get("Referrer-Policy") == "no-referrer", first.name)

		_, _, reason = try(t, New(Config{Verifier: NewStaticToken("another", Limits{})}), a)
		require.ErrorIs(t, reason, ErrBadToken, first.name)

		for _, second := range bearers[i:] {
			two := attempt{target: "/ws?" + first.target + "&" + second.target, header: http.Header{}}
			for _, h := range []http.Header{first.header, second.header} {
				for name, lines := range h {
					two.header[name] = append(two.header[name], lines...)
				}
			}
			for _, g := range []*Middleware{closed, open} {
				_, _, reason = try(t, g, two)
				require.ErrorIs(t, reason, ErrTwoTokens, "%s and %s", first.name, second.name)
			}
		}
	}
}

func TestTokenSyntaxInEachPlace(t *testing.T) {
	authorization := func(lines ...string) http.Header { return http.Header{"Authorization": lines} }
	subprotocol := func(lines ...string) http.Header {
		return http.Header{"Upgrade": {"WebSocket"}, "Sec-Websocket-Protocol": lines}
	}
	long := strings.Repeat("a", MaxTokenLen)
	for _, a := range []attempt{
		{name: "no token", want: ErrNoToken},
		{name: "scheme in upper case", header: authorization("BEARER " + canary)},
		{name: "more space", header: authorization("bearer   " + canary)},
		{name: "only the scheme", header: authorization("Bearer"), want: ErrTokenSyntax},
		{name: "nothing after the scheme", header: authorization("Bearer "), want: ErrTokenSyntax},
		{name: "two words", header: authorization("Bearer " + canary + " x"), want: ErrTokenSyntax},
		{name: "another scheme", header: authorization("Basic " + canary), want: ErrNoToken},
		{name: "Basic and a token in the query", target: "/?access_token=" + canary, header: authorization("Basic YTpi")},
		{name: "two headers", header: authorization("Bearer "+canary, "Basic YTpi"), want: ErrTwoTokens},
		{name: "Authorization twice", header: authorization("Bearer "+canary, "Bearer "+canary), want: ErrTwoTokens},
		{name: "empty in the query", target: "/?access_token=", want: ErrTokenSyntax},
		{name: "empty in the query and one in Authorization", target: "/?access_token=", header: authorization("Bearer " + canary), want: ErrTwoTokens},
		{name: "escaped in the query", target: "/?access%5Ftoken=%63" + canary[1:]},
		{name: "parameter name in upper case", target: "/?ACCESS_TOKEN=" + canary, want: ErrNoToken},
		{name: "broken escape", target: "/?access_token=%zz" + canary, want: ErrNoToken},
		{name: "characters that are not allowed in a token", header: authorization("Bearer canary+/="), want: ErrTokenSyntax},
		{name: "not ASCII", target: "/?access_token=canary%C3%A9", want: ErrTokenSyntax},
		{name: "line break", target: "/?access_token=" + canary + "%0A", want: ErrTokenSyntax},
		{name: "prefix", header: authorization("Bearer " + canary[:len(canary)-1]), want: ErrBadToken},
		{name: "longest", header: authorization("Bearer " + long), want: ErrBadToken},
		{name: "too long", header: authorization("Bearer " + long + "a"), want: ErrTokenSyntax},
		{name: "subprotocols in two header lines", header: subprotocol("trivium.bearer."+canary, "trivium.v1")},
		{name: "no other subprotocol", header: subprotocol("trivium.bearer." + canary), want: ErrLoneBearer},
		{name: "with another subprotocol", header: subprotocol("chat, trivium.bearer." + canary), want: ErrLoneBearer},
		{name: "two subprotocols with tokens", header: subprotocol("trivium.v1,trivium.bearer.a,trivium.bearer.b"), want: ErrTwoTokens},
		{name: "empty subprotocol", header: subprotocol("trivium.v1, trivium.bearer."), want: ErrTokenSyntax},
		{name: "subprotocol without upgrade", header: http.Header{
			"Sec-Websocket-Protocol": {"trivium.v1, trivium.bearer." + canary},
		}, want: ErrNoToken},
	} {
		t.Run(a.name, func(t *testing.T) {
			_, header, reason := try(t, New(Config{Verifier: NewStaticToken(canary, Limits{})}), a)
			require.ErrorIs(t, reason, a.want)
			inQuery := strings.Contains(a.target, "access")
			require.Equal(t, inQuery, header.Get("Referrer-Policy") == "no-referrer")
		})
	}
}

func TestOpenHubAcceptsAnyToken(t *testing.T) {
	g := New(Config{})
	for _, a := range []attempt{
		{name: "no token"},
		{name: "any token", header: http.Header{"Authorization": {"Bearer canary+/"}}},
		{name: "a token as the only subprotocol", header: http.Header{
			"Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {"trivium.bearer.canary"},
		}, want: ErrLoneBearer},
	} {
		grant, _, reason := try(t, g, a)
		require.ErrorIs(t, reason, a.want, a.name)
		require.Equal(t, a.want == nil, grant != nil && grant.MayPublish("a"), a.name)
	}
	require.Nil(t, AccessFrom(t.Context()).Grant())
}

func TestOrderOfChecks(t *testing.T) {
	hosts, err := NewHostPolicy()
	require.NoError(t, err)
	origins, err := NewOrigins([]string{"https://app.example"})
	require.NoError(t, err)
	g := New(Config{Verifier: NewStaticToken(canary, Limits{}), Hosts: hosts, Origins: origins})
	a := attempt{
		target: "/?access_token=a&access_token=b",
		host:   "evil.test",
		header: http.Header{"Origin": {"https://other.test"}, "Cookie": {cookieName + "=a; " + cookieName + "=b"}},
	}
	for _, step := range []struct {
		mend   func()
		want   error
		shared bool
	}{
		{func() {}, ErrHost, false},
		{func() { a.host = "localhost:3000" }, ErrForeignOrigin, false},
		{func() { a.header.Set("Origin", "https://app.example") }, ErrTwoTokens, true},
		{func() { a.target = "/?access_token=a" }, ErrBadToken, true},
		{func() { a.target = "/?access_token=" + canary }, nil, true},
		{func() { a.target = "/" }, ErrTwoTokens, true},
		{func() { a.header.Set("Cookie", cookieName+"=a") }, ErrBadToken, true},
		{func() { a.header.Set("Cookie", cookieName+"="+canary) }, nil, true},
		{func() { a.header.Del("Cookie") }, ErrNoToken, true},
	} {
		step.mend()
		_, header, reason := try(t, g, a)
		require.ErrorIs(t, reason, step.want)
		require.Equal(t, step.shared, header.Get("Access-Control-Allow-Origin") == "https://app.example")
	}
}

// Query returns the parameters that the Middleware has parsed, unless the URL has changed since.
func TestQueryIsParsedOnce(t *testing.T) {
	var first url.Values
	handler := func(w http.ResponseWriter, r *http.Request) {
		var err error
		first, err = Query(r)
		require.NoError(t, err)
		first.Set("mark", "1")
		again, err := Query(r)
		require.NoError(t, err)
		require.True(t, again.Has("mark"), "a second call returns the result of the first")
		r.URL.RawQuery = "topic=b"
		changed, err := Query(r)
		require.NoError(t, err)
		require.Equal(t, url.Values{"topic": {"b"}}, changed)
	}
	g := New(Config{})
	wrapped := g.Wrap(func(http.ResponseWriter, *http.Request, error) { t.Error("refused") })
	wrapped(http.HandlerFunc(handler)).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/sse?topic=a", nil))
	require.Equal(t, "a", first.Get("topic"))

	malformed := httptest.NewRequest("GET", "/sse", nil)
	malformed.URL.RawQuery = "topic=a&%zz"
	wrapped(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := Query(r)
		require.Error(t, err)
	})).ServeHTTP(httptest.NewRecorder(), malformed)

	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/sse?topic=a", nil),
		httptest.NewRequest("GET", "/sse?topic=a", nil).WithContext(WithAccess(t.Context(), noAccess{})),
	} {
		q, err := Query(r)
		require.NoError(t, err)
		require.Equal(t, url.Values{"topic": {"a"}}, q)
	}
}

func TestCheckToken(t *testing.T) {
	for c := range 256 {
		isLetter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		want := isLetter || strings.ContainsRune("-._~", rune(c))
		for _, text := range []string{string([]byte{byte(c)}), string([]byte{'a', byte(c), 'b'})} {
			require.Equal(t, want, CheckToken(text) == nil, "%q", text)
		}
	}
	require.Equal(t, ErrTokenSyntax, CheckToken(""))
	require.NoError(t, CheckToken(strings.Repeat("a", 8192)))
	require.Equal(t, ErrTokenSyntax, CheckToken(strings.Repeat("a", 8193)))
}

func TestNewToken(t *testing.T) {
	token := NewToken()
	require.NoError(t, CheckToken(token))
	require.GreaterOrEqual(t, len(token), 26, "128 bits in base32")
	require.NotEqual(t, token, NewToken())
}

// The test checks which requests without an Origin header each CrossSite policy accepts.
func TestCrossSiteWithoutOrigin(t *testing.T) {
	link := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	frame := http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}
	for name, c := range map[string]struct {
		method  string
		header  http.Header
		passes  CrossSite // the strictest policy that accepts the request
		origins bool
	}{
		"no browser":              {header: nil, passes: CrossSiteRefused},
		"typed by the user":       {header: http.Header{"Sec-Fetch-Site": {"none"}}, passes: CrossSiteRefused},
		"own page":                {header: http.Header{"Sec-Fetch-Site": {"same-origin"}}, passes: CrossSiteRefused},
		"a link":                  {header: link, passes: CrossSiteNavigation},
		"a POST of a form":        {method: http.MethodPost, header: link},
		"a frame":                 {header: frame},
		"an image":                {header: http.Header{"Sec-Fetch-Site": {"cross-site"}}},
		"another port":            {header: http.Header{"Sec-Fetch-Site": {"same-site"}}},
		"two header lines":        {header: http.Header{"Sec-Fetch-Site": {"none", "none"}}},
		"an empty Sec-Fetch-Site": {header: http.Header{"Sec-Fetch-Site": {""}}},
		"an image, with CORS":     {header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, origins: true},
	} {
		for policy := CrossSiteAllowed; policy <= CrossSiteRefused; policy++ {
			config := Config{CrossSite: policy}
			if c.origins {
				var err error
				config.Origins, err = NewOrigins([]string{"https://app.example.com"})
				require.NoError(t, err)
			}
			passed := false
			h := New(config).Wrap(func(_ http.ResponseWriter, _ *http.Request, err error) {
				require.ErrorIs(t, err, ErrForeignOrigin)
			})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }))
			r := httptest.NewRequest(c.method, "/", nil)
			r.Header = c.header.Clone()
			h.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, policy <= c.passes, passed, "%s %d", name, policy)
		}
	}
}
