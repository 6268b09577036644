package hubs

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/transports/problems"
)

// doRequest sends a request with the given headers. It returns the answer and, if the status is at least
// 400, the problem in its body.
func doRequest(p *hubtest.Process, method, url string, header http.Header) (*http.Response, problems.Problem) {
	p.T.Helper()
	r, err := http.NewRequest(method, url, nil)
	require.NoError(p.T, err)
	r.Header = header
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	response, err := p.Client.Do(r)
	require.NoError(p.T, err)
	defer response.Body.Close()
	var problem problems.Problem
	if response.StatusCode >= 400 {
		require.NoError(p.T, json.NewDecoder(response.Body).Decode(&problem))
	}
	return response, problem
}

// When the hub refuses a request because of its origin, the answer names the settings to check. The
// hub also logs them, at most once per minute.
func TestForeignOriginNamesSetting(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, "serve", "--http", "127.0.0.1:0", "--udp", "off", "--admin", "127.0.0.1:0",
		"--log-format", "json", "--trusted-proxy", "127.0.0.1"))
	const seen, advice = " (Host and scheme as seen by this hub)", "; behind a proxy keep Host and use --trusted-proxy, or allow the origin with --origin"
	poll, own := "http://"+p.HTTP+"/poll?wait=0", "http://"+p.HTTP
	bearer := []string{"Bearer " + p.Token}
	for _, c := range []struct {
		header http.Header
		detail string
	}{
		{http.Header{"Origin": {"https://app.example.com"}}, "origin https://app.example.com does not match " + own + seen + advice},
		{http.Header{"Origin": {"http://localhost:5173"}}, "origin http://localhost:5173 does not match " + own + seen + advice},
		{http.Header{"Origin": {"https://hub.example.com"}, "Host": {"hub.example.com"}}, "origin https://hub.example.com does not match http://hub.example.com" + seen + advice},
		{http.Header{"Origin": {"https://hub.example.com"}, "X-Forwarded-Proto": {"https"}}, "origin https://hub.example.com does not match https://" + p.HTTP + seen + advice},
		{http.Header{"Origin": {"null"}}, "origin null (a page from a file, a sandboxed frame or a redirect) does not match " + own + seen +
			"; serve a page from a file over http, for example with python3 -m http.server 8000, and allow its origin with --origin http://localhost:8000; --origin null allows all pages without an origin"},
		{http.Header{"Origin": {"\u009b31m\u202e"}}, `origin \u009b31m\u202e does not match ` + own + seen + advice},
		{http.Header{"Origin": {strings.Repeat("a", 5000)}}, "origin " + strings.Repeat("a", 256) + " does not match " + own + seen + advice},
		{http.Header{"Origin": {own, own}}, "the request has more than one Origin header" + advice},
	} {
		c.header["Authorization"] = bearer
		response, problem := doRequest(p, http.MethodGet, poll, c.header)
		require.Equal(t, http.StatusForbidden, response.StatusCode, c.detail)
		require.Equal(t, problems.CodeForeignOrigin, problem.Code)
		require.Equal(t, c.detail, problem.Detail)
	}
	_, problem := doRequest(p, http.MethodGet, "http://"+p.Admin+"/metrics", http.Header{"Origin": {own}})
	require.Equal(t, "origin "+own+" does not match http://"+p.Admin+seen+"; the admin listener answers only pages of its own origin", problem.Detail)

	p.HasLogged(`"msg":"refused a request from a page of another origin"`)
	var warnings []map[string]any
	for line := range strings.Lines(p.Log()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && entry["level"] == "WARN" && entry["route"] != nil {
			warnings = append(warnings, entry)
		}
	}
	require.Len(t, warnings, 1, "the warning is logged once per minute")
	require.Equal(t, "refused a request from a page of another origin", warnings[0]["msg"])
	require.Equal(t, "origin https://app.example.com does not match "+own+seen+advice, warnings[0]["detail"])
	require.Equal(t, "/poll", warnings[0]["route"])
}

// A CORS preflight permits the headers that tracing and AJAX libraries add, and the headers of --cors-header.
func TestHeadersOfPages(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--origin", "https://app.example.com", "--cors-header", "X-Tenant", "--cors-header=x-request-id")...))
	for names, status := range map[string]int{
		"authorization,baggage,cache-control,content-type,idempotency-key,pragma,sentry-trace,traceparent,tracestate,trivium-key,trivium-type,x-requested-with": http.StatusNoContent,
		"x-tenant":     http.StatusNoContent,
		"X-Request-Id": http.StatusNoContent,
		"x-other":      http.StatusForbidden,
	} {
		r, err := http.NewRequest(http.MethodOptions, "http://"+p.HTTP+"/publish/a", nil)
		require.NoError(t, err)
		r.Header = http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {names}}
		response, err := p.Client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, status, response.StatusCode, names)
	}
}

// With --origin null, pages with the origin "null" may connect, but the hub does not accept cookies
// from them.
func TestNullOrigin(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--origin", "null")...))
	bearer := []string{"Bearer " + p.Token}
	poll := "http://" + p.HTTP + "/poll?wait=0"
	response, _ := doRequest(p, http.MethodGet, poll, http.Header{"Origin": {"null"}, "Authorization": bearer})
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "*", response.Header.Get("Access-Control-Allow-Origin"))
	require.Empty(t, response.Header.Get("Access-Control-Allow-Credentials"))
	response, _ = doRequest(p, http.MethodOptions, poll, http.Header{"Origin": {"null"}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization"}})
	require.Equal(t, http.StatusNoContent, response.StatusCode)
	require.Equal(t, "authorization", response.Header.Get("Access-Control-Allow-Headers"))
	response, _ = doRequest(p, http.MethodGet, poll, http.Header{"Origin": {"null"}, "Cookie": {"trivium_token=" + p.Token}})
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	response, _ = doRequest(p, http.MethodGet, poll, http.Header{"Origin": {"https://app.example.com"}, "Authorization": bearer})
	require.Equal(t, http.StatusForbidden, response.StatusCode)
}
