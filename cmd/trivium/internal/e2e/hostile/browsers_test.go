package hostile

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

var browserAttacks = []attack{
	{"a foreign, null or look-alike Origin header, on every route", foreignOrigins},
	{"a cookie in a request from a page of another site", foreignCookie},
	{"a cross-site POST without a CORS preflight", simplePost},
	{"a request with the Host of another site (DNS rebinding)", reboundHost},
}

// routes lists the request lines for all routes of the main listener.
var routes = []string{
	"GET /sse", "GET /sse?topic=a.b&last=5", "HEAD /sse", "GET /ws", "GET /ws?topic=a.b", pollNow, "POST /publish", "POST /publish/origin",
	"POST /session", "DELETE /session", "GET /", "GET /healthz", "GET /readyz", "GET /nowhere", "PUT /publish",
	"GET /demo", "GET /demo/", "HEAD /demo/build", "GET /demo/app.wasm",
}

// withBody adds a body to a POST or PUT request. The body is an event that the hub must not publish.
func withBody(r request) request {
	if strings.HasPrefix(r.line, "POST") || strings.HasPrefix(r.line, "PUT") {
		r.body = breachIn("origin")
	}
	return r
}

func foreignOrigins(t *testing.T, f *testbed) {
	own := "http://" + f.main.HTTP
	_, port, err := net.SplitHostPort(f.main.HTTP)
	require.NoError(t, err)
	foreign := []string{
		"https://evil.test", "null", "", "https://app.example.com.evil.test", "https://evilapp.example.com", "http://app.example.com",
		"https://app.example.com:444", "https://app.example.com:443", "https://app.example.com.", "https://app.example.com/", "https://APP.example.com",
		"HTTPS://app.example.com", "https://app.example.com@evil.test", "https://user@app.example.com", "https://app.example.com:443@evil.test",
		"https://evil.test/https://app.example.com", "https://evil.test#app.example.com", "https://app.example.com https://evil.test",
		"https://app.example.com,https://evil.test", "https://example.org", "https://evilexample.org", "https://a.example.org.evil.test",
		"http://a.example.org", "https://.example.org", "https://a..example.org", "https://[a.example.org]", "https://*.example.org", "*",
		"https://\u0430pp.example.com", "https://app\u3002example.com", "https://app.example.com\x80", "app.example.com", "//app.example.com", "file://", "chrome-extension://app.example.com",
		strings.Replace(own, "http", "https", 1), own + "0", own + "/", "http://localhost:" + port, "http://127.0.0.1", "http://127.1:" + port, "http://[::1]:" + port,
		"http://user@" + f.main.HTTP, "http://" + f.main.HTTP + ".evil.test", strings.Repeat("https://", 500),
	}
	try := func(line, token string, origins ...string) {
		r := withBody(request{line: line, token: token})
		for _, origin := range origins {
			r.header = append(r.header, "Origin: "+origin)
		}
		x := f.do(t, r)
		require.Equal(t, http.StatusForbidden, x.status, "%s %q", line, origins)
		require.Empty(t, x.header.Get("Access-Control-Allow-Origin"))
		require.True(t, strings.Contains(x.body, "foreign-origin") || strings.HasPrefix(line, "HEAD"), "the request is refused because of its origin")
		// A CORS preflight for the same request is refused as well.
		_, target, _ := strings.Cut(line, " ")
		r = request{line: "OPTIONS " + target, header: append(r.header, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type")}
		x = f.do(t, r)
		require.Equal(t, http.StatusForbidden, x.status, "%s %q", r.line, origins)
		require.Empty(t, x.header.Get("Access-Control-Allow-Origin"))
	}
	for _, line := range routes {
		for _, origin := range foreign {
			try(line, f.tokens["master"], origin)
		}
		try(line, "", foreign[0])
		try(line, "", "https://app.example.com", "https://app.example.com")
		try(line, f.tokens["master"], "https://app.example.com", "https://evil.test")
		try(line, f.tokens["master"], "https://evil.test", own)
	}
	for _, good := range []string{"https://app.example.com", "https://a.b.example.org", own} {
		for _, line := range []string{"GET /sse", "GET /ws", pollNow, "POST /publish/good.origin"} {
			r := request{line: line, token: f.tokens["master"], header: []string{"Origin: " + good}}
			if strings.HasPrefix(line, "POST") {
				r.body = "1"
			}
			x := f.do(t, r)
			require.Equal(t, http.StatusOK, x.status, "%s %s", line, good)
			if good != own {
				require.Equal(t, good, x.header.Get("Access-Control-Allow-Origin"), line)
			}
		}
	}
	// If a WebSocket handshake fails, a page cannot see the HTTP status. Therefore, if the page's origin is
	// allowed, the hub accepts the handshake and then sends a message with the reason for the refusal.
	x := f.do(t, request{line: "GET /ws", header: []string{"Origin: " + own}})
	require.Equal(t, []int{http.StatusUnauthorized, 4401}, []int{x.status, x.code})
}

func foreignCookie(t *testing.T, f *testbed) {
	cookie := "Cookie: trivium_token=" + f.tokens["master"]
	for _, line := range []string{"GET /sse", "GET /ws", pollNow, "POST /publish", "POST /publish/origin"} {
		for _, site := range []string{"cross-site", "same-site", "", "CROSS-SITE", "same-origin, cross-site", "x"} {
			x := f.do(t, withBody(request{line: line, header: []string{cookie, "Sec-Fetch-Site: " + site}}))
			require.Equal(t, http.StatusUnauthorized, x.status, "%s %s", line, site)
		}
		for _, origin := range []string{"https://evil.test", "null", "http://app.example.com", "https://evilapp.example.com"} {
			x := f.do(t, withBody(request{line: line, header: []string{cookie, "Origin: " + origin, "Sec-Fetch-Site: same-origin"}}))
			require.Equal(t, http.StatusForbidden, x.status, "%s %s", line, origin)
		}
		x := f.do(t, withBody(request{line: line, header: []string{cookie, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}}))
		require.Equal(t, http.StatusUnauthorized, x.status, line)
	}
	f.requireAccepted(t, "", cookie, "Sec-Fetch-Site: same-origin")
	f.requireAccepted(t, "", cookie, "Origin: https://app.example.com", "Sec-Fetch-Site: cross-site")

	x := f.do(t, request{line: "POST /session", token: f.tokens["master"], header: []string{"Content-Length: 0"}})
	require.Equal(t, http.StatusNoContent, x.status)
	for _, attribute := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		require.Contains(t, x.header.Get("Set-Cookie"), attribute)
	}
}

func simplePost(t *testing.T, f *testbed) {
	for _, p := range []*hubtest.Process{f.open, f.main} {
		header := []string{"Origin: https://evil.test"}
		if p == f.main {
			header = append(header, "Cookie: trivium_token="+f.tokens["master"])
		}
		for _, kind := range []string{"text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"} {
			for _, line := range []string{"POST /publish", "POST /publish/origin", "POST /publish/origin?access_token=" + f.tokens["master"], "POST /session"} {
				for _, more := range []string{"Origin: https://evil.test", "Origin: null", "Origin: http://localhost"} {
					header[0] = more
					x := f.do(t, request{hub: p, line: line, body: breachIn("origin") + "=", header: append(header, "Content-Type: "+kind)})
					require.Equal(t, http.StatusForbidden, x.status, "%s %s %s", line, kind, more)
				}
			}
		}
	}
}

func reboundHost(t *testing.T, f *testbed) {
	_, port, err := net.SplitHostPort(f.open.HTTP)
	require.NoError(t, err)
	for _, host := range []string{
		"evil.test", "evil.test:" + port, "127.0.0.1.evil.test", "localhost.evil.test:" + port, "evillocalhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0.0.0.0",
		"[::]", "[::ffff:127.0.0.1", "evil.test@127.0.0.1", "127.0.0.1@evil.test", "127.0.0.1/evil.test", "169.254.169.254", "hub.internal", "localhost:x", "%31%32%37.0.0.1", ":" + port,
	} {
		for _, line := range routes {
			r := withBody(request{hub: f.open, line: line, host: host})
			status := f.do(t, r).status
			// Package net/http itself refuses a syntactically invalid host, with status 400.
			require.Contains(t, []int{http.StatusMisdirectedRequest, http.StatusBadRequest}, status, "%s %s", host, line)
			r.header = []string{"Origin: http://" + host}
			require.Contains(t, []int{http.StatusMisdirectedRequest, http.StatusBadRequest}, f.do(t, r).status, "%s %s", host, line)
		}
		for _, line := range []string{"GET /", "GET /metrics", "GET /stats", "GET /debug/pprof/cmdline", "GET /debug/pprof/", "GET /nowhere"} {
			x := f.do(t, request{line: line, admin: true, host: host})
			require.Contains(t, []int{http.StatusMisdirectedRequest, http.StatusBadRequest}, x.status, "%s %s", host, line)
		}
	}
	for _, line := range []string{"GET http://evil.test/poll?wait=0", "GET //evil.test/poll?wait=0"} {
		require.NotEqual(t, http.StatusOK, f.do(t, request{hub: f.open, line: line}).status, "an absolute target takes precedence over the Host header")
	}
	for _, two := range []string{"Host: evil.test", "Host: localhost"} {
		x := f.do(t, request{hub: f.open, line: pollNow, header: []string{two}})
		require.Equal(t, http.StatusBadRequest, x.status)
	}
	for _, line := range []string{"GET /stats", "POST /stats"} {
		x := f.do(t, request{line: line, admin: true, header: []string{"Origin: https://evil.test"}})
		require.NotEqual(t, http.StatusOK, x.status, line)
	}
	for _, good := range []string{"localhost", "hub.localhost:1", "127.0.0.1", "127.0.0.2", "[::1]:" + port} {
		require.Equal(t, http.StatusOK, f.do(t, request{hub: f.open, line: pollNow, host: good}).status, good)
	}
}
