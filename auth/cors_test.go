package auth

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// patterns are origin patterns for NewOrigins. patternsAllow is a regular expression that matches
// the origins that these patterns allow. A test checks each accepted origin against it.
var (
	patterns = []string{
		"https://*.example.com",
		"https://app.example.net:*",
		"https://*.any.example.org:*",
		"http://localhost:5173",
		"http://plain.example",
		"https://xn--bcher-kva.example",
		"http://127.0.0.1:8080",
		"http://[::1]:*",
		"capacitor://localhost",
	}
	patternsAllow = regexp.MustCompile(`^(` + strings.Join([]string{
		`https://([a-z0-9_-]+\.)+example\.com`,
		`https://app\.example\.net(:[1-9][0-9]*)?`,
		`https://([a-z0-9_-]+\.)+any\.example\.org(:[1-9][0-9]*)?`,
		`http://localhost:5173`,
		`http://plain\.example`,
		`https://xn--bcher-kva\.example`,
		`http://127\.0\.0\.1:8080`,
		`http://\[::1\](:[1-9][0-9]*)?`,
		`capacitor://localhost`,
	}, "|") + `)$`)
)

// otherOrigins are origins other than the hub's own.
var otherOrigins = []struct {
	origin        string
	allowed       bool
	refusedByStar bool // not even the pattern "*" allows it
}{
	{origin: "https://app.example.com", allowed: true},
	{origin: "https://a.b.c.d.example.com", allowed: true},
	{origin: "https://xn--bcher-kva.example.com", allowed: true},
	{origin: "https://app.example.net", allowed: true},
	{origin: "https://app.example.net:8443", allowed: true},
	{origin: "https://x.y.any.example.org:1", allowed: true},
	{origin: "http://localhost:5173", allowed: true},
	{origin: "http://plain.example", allowed: true},
	{origin: "https://xn--bcher-kva.example", allowed: true},
	{origin: "http://127.0.0.1:8080", allowed: true},
	{origin: "http://[::1]", allowed: true},
	{origin: "http://[::1]:9999", allowed: true},
	{origin: "capacitor://localhost", allowed: true},

	{origin: "https://example.com"},
	{origin: "https://app.example.com.evil.test"},
	{origin: "https://app.example.com.evil.test:443"},
	{origin: "https://evilexample.com"},
	{origin: "https://evil-example.com"},
	{origin: "https://app.example.comx"},
	{origin: "https://app.example.com."},
	{origin: "https://app.example.com:443"},
	{origin: "https://app.example.com:8443"},
	{origin: "http://app.example.com"},
	{origin: "https://sub.app.example.net"},
	{origin: "http://app.example.net"},
	{origin: "https://any.example.org"},
	{origin: "http://localhost"},
	{origin: "http://localhost:51730"},
	{origin: "https://localhost:5173"},
	{origin: "http://localhost.evil.test:5173"},
	{origin: "http://plain.example:80"},
	{origin: "http://127.0.0.1:8081"},
	{origin: "http://127.1:8080"},
	{origin: "https://example.com.evil.test"},
	{origin: "capacitor://evil.test"},
	{origin: "https://other.test"},

	{origin: "null", refusedByStar: true},
	{origin: "", refusedByStar: true},
	{origin: "*", refusedByStar: true},
	{origin: "https://*.example.com", refusedByStar: true},
	{origin: "https://", refusedByStar: true},
	{origin: "https://.example.com", refusedByStar: true},
	{origin: "https://app..example.com", refusedByStar: true},
	{origin: "HTTPS://app.example.com", refusedByStar: true},
	{origin: "https://APP.example.com", refusedByStar: true},
	{origin: "https://app.example.com/", refusedByStar: true},
	{origin: "https://app.example.com ", refusedByStar: true},
	{origin: "https://app.example.com#", refusedByStar: true},
	{origin: "https://app.example.com\\.evil.test", refusedByStar: true},
	{origin: "https://evil.test\x00.example.com", refusedByStar: true},
	{origin: "https://evil.test%2f.example.com", refusedByStar: true},
	{origin: "https://evil.test/.example.com", refusedByStar: true},
	{origin: "https://evil.test?.example.com", refusedByStar: true},
	{origin: "https://user@app.example.com", refusedByStar: true},
	{origin: "https://app.example.com@evil.test", refusedByStar: true},
	{origin: "https://app.example.com, https://other.test", refusedByStar: true},
	{origin: "https://app.example.com:0", refusedByStar: true},
	{origin: "https://app.example.net:65536", refusedByStar: true},
	{origin: "https://app.example.net:", refusedByStar: true},
	{origin: "https://app.example.net:*", refusedByStar: true},
	{origin: "https://app.example.net:08443", refusedByStar: true},
	{origin: "https://[app.example.com]", refusedByStar: true},
	{origin: "https://[evil.test/.example.com]", refusedByStar: true},
	{origin: "http://[127.0.0.1]:8080", refusedByStar: true},
	{origin: "http://::1", refusedByStar: true},
	{origin: "http://[::1%25lo]", refusedByStar: true},
	{origin: "https://b\u00fccher.example", refusedByStar: true},
	{origin: "https://app.example\u3002com", refusedByStar: true},
	{origin: "https://\u212aelvin.example.com", refusedByStar: true},
	{origin: "//app.example.com", refusedByStar: true},
	{origin: "app.example.com", refusedByStar: true},
	{origin: "https:app.example.com", refusedByStar: true},
	{origin: "https://" + strings.Repeat("a.", 200) + "example.com", refusedByStar: true},
}

func TestAllowedOrigins(t *testing.T) {
	named, err := NewOrigins(patterns)
	require.NoError(t, err)
	every, err := NewOrigins([]string{"*"})
	require.NoError(t, err)
	for _, o := range otherOrigins {
		a := attempt{host: "hub.example", header: http.Header{"Origin": {o.origin}}}
		for _, c := range []struct {
			origins     *Origins
			allowed     bool
			acao, creds string
			vary        bool
		}{
			{nil, false, "", "", false},
			{named, o.allowed, o.origin, "true", true},
			{every, !o.refusedByStar, "*", "", o.refusedByStar},
		} {
			if !c.allowed {
				c.acao, c.creds = "", ""
			}
			for _, token := range []string{"", "Bearer canary-wrong", "Bearer " + canary} {
				a.header.Set("Authorization", token)
				_, header, reason := try(t, New(Config{Verifier: NewStaticToken(canary, Limits{}), Origins: c.origins}), a)
				require.Equal(t, !c.allowed, errors.Is(reason, ErrForeignOrigin), "%q: %v", o.origin, reason)
				require.Equal(t, c.acao, header.Get("Access-Control-Allow-Origin"), o.origin)
				require.Equal(t, c.creds, header.Get("Access-Control-Allow-Credentials"), o.origin)
				require.Equal(t, c.allowed, header.Get("Access-Control-Expose-Headers") == "retry-after,www-authenticate", o.origin)
				require.Equal(t, c.vary, header.Get("Vary") == "Origin", o.origin)
			}
		}
	}
	for _, origins := range []*Origins{named, every} {
		good := "https://app.example.com"
		_, header, reason := try(t, New(Config{Origins: origins}), attempt{header: http.Header{"Origin": {good, good}}})
		require.ErrorIs(t, reason, ErrForeignOrigin, "two Origin headers are refused even if both are allowed")
		require.Empty(t, header["Access-Control-Allow-Origin"])
	}
}

// The test sends requests as browsers do: first preflight requests, which have no token, then
// requests with a token.
func TestCORS(t *testing.T) {
	named, err := NewOrigins(patterns)
	require.NoError(t, err)
	every, err := NewOrigins([]string{"*"})
	require.NoError(t, err)
	added, err := NewOrigins([]string{"https://app.example.com", "null"}, "X-Csrf-Token", "x-tenant", "X-TENANT", "Authorization")
	require.NoError(t, err)
	null, err := NewOrigins([]string{"null"})
	require.NoError(t, err)
	nullToo, err := NewOrigins([]string{"null", "https://app.example.com"})
	require.NoError(t, err)
	everyNull, err := NewOrigins([]string{"*", "null"})
	require.NoError(t, err)
	var origins *Origins
	reached := 0
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(w http.ResponseWriter, _ *http.Request, err error) {
			status := http.StatusUnauthorized
			if errors.Is(err, ErrForeignOrigin) {
				status = http.StatusForbidden
			}
			http.Error(w, err.Error(), status)
		}
		next := func(w http.ResponseWriter, _ *http.Request) {
			reached++
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		guard := New(Config{Verifier: NewStaticToken(canary, Limits{}), Origins: origins})
		guard.Wrap(refuse)(http.HandlerFunc(next)).ServeHTTP(w, r)
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	ask := func(method string, header http.Header) *http.Response {
		r, err := http.NewRequest(method, server.URL+"/publish", nil)
		require.NoError(t, err)
		r.Header = header
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response
	}

	const app, foreign = "https://app.example.com", "https://app.example.com.evil.test"
	everyHeader := "authorization,baggage,cache-control,content-encoding,content-type,idempotency-key,last-event-id,pragma,prefer," +
		"sentry-trace,traceparent,tracestate,trivium-key,trivium-type,x-requested-with"
	for _, c := range []struct {
		name    string
		origins *Origins
		origin  string
		method  string
		headers string
		status  int
		max     string // expected Access-Control-Max-Age
		acao    string
		creds   string
	}{
		{"every header", named, app, "POST", everyHeader, 204, "7200", app, "true"},
		{"no header", named, app, "GET", "", 204, "7200", app, "true"},
		{"end of a session", named, app, "DELETE", "", 204, "7200", app, "true"},
		{"HEAD", named, app, "HEAD", "last-event-id", 204, "7200", app, "true"},
		{"another method", named, app, "PUT", "", 403, "", "", ""},
		{"an added header", added, app, "POST", "x-csrf-token", 204, "7200", app, "true"},
		{"all headers and an added one", added, app, "POST", everyHeader + ",x-tenant", 204, "7200", app, "true"},
		{"an added header, foreign", added, foreign, "POST", "x-csrf-token", 403, "", "", ""},
		{"an added header, null", added, "null", "POST", "x-csrf-token", 204, "7200", "*", ""},
		{"another header", named, app, "POST", "x-forwarded-for", 403, "", "", ""},
		{"foreign", named, foreign, "POST", "authorization", 403, "", "", ""},
		{"null", named, "null", "POST", "authorization", 403, "", "", ""},
		{"the same origin", named, server.URL, "POST", "authorization", 401, "", "", ""},
		{"any", every, foreign, "DELETE", everyHeader, 204, "7200", "*", ""},
		{"null, allowed", null, "null", "POST", everyHeader, 204, "7200", "*", ""},
		{"only null allowed, another origin", null, app, "POST", "authorization", 403, "", "", ""},
		{"null and an origin allowed, null", nullToo, "null", "DELETE", "authorization", 204, "7200", "*", ""},
		{"null and an origin allowed, that origin", nullToo, app, "POST", everyHeader, 204, "7200", app, "true"},
		{"null and an origin allowed, another origin", nullToo, foreign, "POST", "authorization", 403, "", "", ""},
		{"all and null allowed, null", everyNull, "null", "POST", "authorization", 204, "7200", "*", ""},
		{"all and null allowed, another origin", everyNull, foreign, "POST", "authorization", 204, "7200", "*", ""},
		{"NULL", null, "NULL", "POST", "authorization", 403, "", "", ""},
		{"all allowed, null", every, "null", "POST", "authorization", 403, "", "", ""},
		{"no origins", nil, app, "POST", "authorization", 403, "", "", ""},
		{"no origin allowed, same origin", nil, server.URL, "POST", "authorization", 401, "", "", ""},
	} {
		origins = c.origins
		header := http.Header{"Origin": {c.origin}, "Access-Control-Request-Method": {c.method}}
		if c.headers != "" {
			header.Set("Access-Control-Request-Headers", c.headers)
		}
		response := ask(http.MethodOptions, header)
		require.Equal(t, c.status, response.StatusCode, c.name)
		require.Equal(t, c.max, response.Header.Get("Access-Control-Max-Age"), c.name)
		require.Equal(t, c.acao, response.Header.Get("Access-Control-Allow-Origin"), c.name)
		require.Equal(t, c.creds, response.Header.Get("Access-Control-Allow-Credentials"), c.name)
		require.Zero(t, reached, "the middleware does not pass preflights to the handler")
		if c.status == http.StatusNoContent {
			require.Equal(t, c.headers, response.Header.Get("Access-Control-Allow-Headers"), c.name)
			require.Contains(t, response.Header.Get("Vary"), "Origin")
		}
	}

	for _, c := range []struct {
		name    string
		origins *Origins
		header  http.Header
		status  int
		acao    string
		vary    string
	}{
		{"an error of the route", named, http.Header{"Origin": {app}, "Authorization": {"Bearer " + canary}}, 503, app, "Origin"},
		{"an error of the middleware", named, http.Header{"Origin": {app}}, 401, app, "Origin"},
		{"foreign", named, http.Header{"Origin": {foreign}, "Authorization": {"Bearer " + canary}}, 403, "", "Origin"},
		{"no Origin", named, http.Header{"Authorization": {"Bearer " + canary}}, 503, "", "Origin"},
		{"the same origin", named, http.Header{"Origin": {server.URL}, "Authorization": {"Bearer " + canary}}, 503, "", "Origin"},
		{"any, no Origin", every, http.Header{"Authorization": {"Bearer " + canary}}, 503, "*", ""},
		{"null", null, http.Header{"Origin": {"null"}, "Authorization": {"Bearer " + canary}}, 503, "*", "Origin"},
		{"only null allowed, no Origin", null, http.Header{"Authorization": {"Bearer " + canary}}, 503, "", "Origin"},
		{"only null allowed, the same origin", null, http.Header{"Origin": {server.URL}, "Authorization": {"Bearer " + canary}}, 503, "", "Origin"},
		{"null twice", null, http.Header{"Origin": {"null", "null"}, "Authorization": {"Bearer " + canary}}, 403, "", "Origin"},
		{"no origins", nil, http.Header{"Authorization": {"Bearer " + canary}}, 503, "", ""},
	} {
		origins, reached = c.origins, 0
		response := ask(http.MethodGet, c.header)
		require.Equal(t, c.status, response.StatusCode, c.name)
		require.Equal(t, c.status == 503, reached == 1, c.name)
		require.Equal(t, c.acao, response.Header.Get("Access-Control-Allow-Origin"), c.name)
		require.Equal(t, c.vary, response.Header.Get("Vary"), c.name)
		require.Equal(t, c.acao != "", response.Header.Get("Access-Control-Expose-Headers") != "", c.name)
	}
}

func TestOriginPatterns(t *testing.T) {
	none, err := NewOrigins(nil)
	require.NoError(t, err)
	require.Nil(t, none)

	const form = "want scheme://host or scheme://host:port"
	bad := map[string]string{
		"*":                   "must be the only pattern",
		"file:///home":        "send the origin null",
		"https://*.github.io": "public suffix",
	}
	for _, pattern := range []string{
		"", "app.example.com", "https://app.example.com/", "https://App.example.com", "https://b\u00fccher.example",
		"https://a*.example.com", "https://*", "https://10.0.0.1", "http://10.1", "https://example.com:443",
		"http://[0:0::1]", "https://app.example.com:0", "https://user@app.example.com",
	} {
		bad[pattern] = form
	}
	_, err = NewOrigins(append(slices.Collect(maps.Keys(bad)), "https://good.example"))
	require.Error(t, err)
	faults := strings.Split(err.Error(), "\n")
	require.Len(t, faults, len(bad))
	for pattern, want := range bad {
		begin := fmt.Sprintf("origin %q: ", pattern)
		i := slices.IndexFunc(faults, func(fault string) bool { return strings.HasPrefix(fault, begin) })
		require.GreaterOrEqual(t, i, 0, pattern)
		require.Contains(t, faults[i], want)
	}
}

func TestRequestHeaders(t *testing.T) {
	require.NoError(t, CheckRequestHeaders([]string{"x-a", "X-A", "Authorization", "Sec_Thing"}))
	err := CheckRequestHeaders([]string{"*", "", "a b", "x:y", "Cookie", "Access-Control-Allow-Origin", "Sec-Fetch-Site", "good"})
	require.EqualError(t, err, strings.Join([]string{
		`header "*": want the name of each header`,
		`header "": want the name of a header such as X-Request-Id`,
		`header "a b": want the name of a header such as X-Request-Id`,
		`header "x:y": want the name of a header such as X-Request-Id`,
		`header "Cookie": no page can set this header`,
		`header "Access-Control-Allow-Origin": no page can set this header`,
		`header "Sec-Fetch-Site": no page can set this header`,
	}, "\n"))
	_, err = NewOrigins([]string{"https://app.example.com"}, "Cookie")
	require.Error(t, err)
}

// The middleware answers a request even if the body announced by Content-Length does not arrive.
func TestAnswerDoesNotWaitForBody(t *testing.T) {
	origins, err := NewOrigins([]string{"https://app.example.com"})
	require.NoError(t, err)
	guard := New(Config{Verifier: NewStaticToken(canary, Limits{}), Origins: origins})
	for _, head := range []string{
		"POST /session HTTP/1.1\r\nAuthorization: Bearer " + canary,
		"DELETE /session HTTP/1.1",
		"OPTIONS /session HTTP/1.1\r\nOrigin: https://app.example.com\r\nAccess-Control-Request-Method: POST",
	} {
		synctest.Test(t, func(t *testing.T) {
			listener := &pipeListener{accepted: make(chan net.Conn, 1), closed: make(chan struct{})}
			server := &http.Server{Handler: guard.Session(nil)}
			served := make(chan error)
			go func() { served <- server.Serve(listener) }()
			client, conn := net.Pipe()
			listener.accepted <- conn
			_, err := io.WriteString(client, head+"\r\nHost: hub.example\r\nContent-Length: 5\r\n\r\n")
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(client), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusNoContent, response.StatusCode)
			require.NoError(t, response.Body.Close())
			require.NoError(t, client.Close())
			require.NoError(t, server.Close())
			require.ErrorIs(t, <-served, http.ErrServerClosed)
		})
	}
}

// pipeListener is a listener that accepts the connections which the test sends to it.
type pipeListener struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }
