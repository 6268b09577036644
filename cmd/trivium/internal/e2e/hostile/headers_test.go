package hostile

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// Every answer of every route, including upgrades and refusals, contains two headers: one forbids a
// browser to guess the content type, the other to load the answer into pages of other origins.
func TestHardeningHeaders(t *testing.T) {
	f := &testbed{}
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none")...))
	check := func(r request) {
		x := f.do(t, r)
		require.Equal(t, []string{"nosniff"}, x.header.Values("X-Content-Type-Options"), "%v", r)
		require.Equal(t, []string{"same-origin"}, x.header.Values("Cross-Origin-Resource-Policy"), "%v", r)
		require.Empty(t, x.header.Get("Strict-Transport-Security"), "Strict-Transport-Security is not sent without TLS")
	}
	for _, line := range routes {
		check(withBody(request{hub: p, line: line}))
		check(withBody(request{hub: p, line: line, header: []string{"Origin: https://evil.test"}}))
	}
	for _, line := range []string{"GET /metrics", "GET /stats", "GET /", "GET /debug/pprof/", "GET /debug/pprof", "GET /nowhere"} {
		check(request{hub: p, admin: true, line: line})
	}
}
