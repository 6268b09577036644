package hostile

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

var pageAttacks = []attack{
	{"a page of another site, in the operator's browser, that requests profiles from the admin listener", crossSiteProfiles},
	{"a page of another site that sends requests without an Origin header to a hub with --auth none", crossSiteGets},
	{"a request for a path that net/http would redirect, with the Host or Origin of another site", uncleanPath},
}

// otherSites lists headers. If a request contains one of them, the hub must assume that a page of another
// site has sent the request. Browsers send the first two; hostile clients may send the others.
var otherSites = [][]string{
	{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}, {"Sec-Fetch-Site: "}, {"Sec-Fetch-Site: CROSS-SITE"},
	{"Sec-Fetch-Site: same-origin, cross-site"}, {"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: x"},
}

func crossSiteProfiles(t *testing.T, f *testbed) {
	for _, line := range []string{
		"GET /debug/pprof/trace?seconds=1", "GET /debug/pprof/profile?seconds=1", "GET /debug/pprof/heap", "GET /debug/pprof/", "GET /debug/pprof", "POST /debug/pprof/symbol",
		"GET /debug/pprof/cmdline", "GET /metrics", "GET /stats", "HEAD /stats", "GET /", "GET /nowhere",
	} {
		for _, site := range otherSites {
			for _, more := range [][]string{nil, {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}} {
				x := f.do(t, request{admin: true, line: line, header: append(more, site...)})
				require.Equal(t, http.StatusForbidden, x.status, "%s %v", line, site)
			}
		}
	}
	for _, site := range []string{"same-origin", "none"} {
		require.Equal(t, http.StatusOK, f.do(t, request{admin: true, line: "GET /stats", header: []string{"Sec-Fetch-Site: " + site}}).status, site)
	}
}

func crossSiteGets(t *testing.T, f *testbed) {
	const image, link = "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document"
	for _, line := range routes {
		for _, site := range otherSites {
			x := f.do(t, withBody(request{hub: f.open, line: line, header: append([]string{image}, site...)}))
			require.Equal(t, http.StatusForbidden, x.status, "%s %v", line, site)
		}
	}
	for _, line := range []string{"GET /sse", pollNow, "POST /publish"} {
		x := f.do(t, withBody(request{hub: f.open, line: line, header: []string{link, "Sec-Fetch-Site: cross-site"}}))
		require.Equal(t, http.StatusForbidden, x.status, line)
	}
	for _, good := range []request{
		{line: "GET /demo/", header: []string{link, "Sec-Fetch-Site: cross-site"}}, {line: "GET /", header: []string{link, "Sec-Fetch-Site: same-site"}},
		{line: pollNow, header: []string{"Sec-Fetch-Site: none"}}, {line: pollNow, header: []string{"Sec-Fetch-Site: same-origin"}}, {line: pollNow},
	} {
		good.hub = f.open
		require.Equal(t, http.StatusOK, f.do(t, good).status, "%v", good)
	}
	// With authentication, such a header does not cause a refusal: a page of another site has no
	// token, and a client with a token may send any headers.
	x := f.do(t, request{line: pollNow, token: f.tokens["master"], header: []string{"Sec-Fetch-Site: cross-site"}})
	require.Equal(t, http.StatusOK, x.status)
}

func uncleanPath(t *testing.T, f *testbed) {
	for _, path := range []string{"//stats", "/x/../stats", "/./", "/debug/pprof/../../stats", "//evil.test/", "/debug/pprof"} {
		x := f.do(t, request{admin: true, line: "GET " + path, host: "evil.test"})
		require.Equal(t, http.StatusMisdirectedRequest, x.status, path)
		require.Empty(t, x.header.Get("Location"))
		x = f.do(t, request{admin: true, line: "GET " + path, header: []string{"Origin: https://evil.test"}})
		require.Equal(t, http.StatusForbidden, x.status, path)
		x = f.do(t, request{hub: f.open, line: "GET " + path, host: "evil.test"})
		require.Equal(t, http.StatusMisdirectedRequest, x.status, path)
		x = f.do(t, request{hub: f.open, line: "GET " + path, header: []string{"Origin: https://evil.test"}})
		require.Equal(t, http.StatusForbidden, x.status, path)
	}
	require.Equal(t, http.StatusNotFound, f.do(t, request{admin: true, line: "GET //stats"}).status)
}
