package hostile

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
)

var limitAttacks = []attack{
	{"a forged X-Forwarded-For header", spoofedAddress},
	{"more connections than the limits per token, per address or in total allow", tooManyConnections},
	{"one token that opens more than half of the connections that the hub allows", tooManyOfOneToken},
	{"more new subscriptions or events per second than the limits per token allow", exceedRates},
}

// holdConnection opens a stream that stays open. The parameter forwarded is the value of the request's header
// X-Forwarded-For.
func (f *testbed) holdConnection(t *testing.T, p *hubtest.Process, token, forwarded string) *exchange {
	t.Helper()
	return f.start(t, request{hub: p, line: "GET /sse?topic=quiet", token: token, header: []string{"X-Forwarded-For: " + forwarded}})
}

// exclusive reserves testbed.strict, the hub with low limits, for one attack. It waits until the hub's only
// connection is that of the watch, a subscriber to all topics.
func (f *testbed) exclusive(t *testing.T) {
	t.Helper()
	f.limited.Lock()
	t.Cleanup(f.limited.Unlock)
	require.Eventually(t, func() bool {
		var s stats.Snapshot
		f.adminPage(t, f.strict, "/stats", &s)
		return s.Access.Connections == 1
	}, hubtest.Patience, 10*time.Millisecond)
}

func spoofedAddress(t *testing.T, f *testbed) {
	// If a client is not a trusted proxy, the hub counts its connections for the address of the client
	// itself, whatever headers the client sends. The limit is 3 connections per address. The watch, a
	// subscriber to all topics, has one of them.
	for i, status := range []int{200, 200, 503} {
		address := fmt.Sprintf("198.51.100.%d", i)
		x := f.start(t, request{hub: f.plain, line: "GET /sse", token: f.tokens["one"], header: []string{
			"X-Forwarded-For: " + address, "X-Real-IP: " + address, "Forwarded: for=" + address, "True-Client-IP: " + address, "X-Forwarded-Proto: https"}})
		require.Equal(t, status, x.status)
	}
	require.NotContains(t, f.do(t, request{hub: f.plain, line: "POST /session", token: f.tokens["one"],
		header: []string{"X-Forwarded-Proto: https"}}).header.Get("Set-Cookie"), "Secure", "X-Forwarded-Proto of an untrusted client is ignored")

	// In the X-Forwarded-For header from a trusted proxy, the client's address is the last one that is
	// not a proxy. The client may have invented the addresses before it.
	f.exclusive(t)
	const client = "203.0.113.1"
	for _, who := range []string{"one", "one", "two"} {
		require.Equal(t, http.StatusOK, f.holdConnection(t, f.strict, f.tokens[who], "198.51.100.1, "+client).status)
	}
	for _, spelling := range []string{
		client, "198.51.100.2, " + client, client + ", 127.0.0.1", client + ", 127.0.0.1:80, [::ffff:127.0.0.1]:1", "::ffff:" + client, client + ":4711",
		"[::ffff:" + client + "]:1", "garbage, " + client, "127.0.0.1, " + client, strings.Repeat("198.51.100.2, ", 100) + client,
		"198.51.100.2\r\nX-Forwarded-For: " + client, "198.51.100.2\r\nX-Forwarded-For: 198.51.100.3,\t" + client + " ",
	} {
		x := f.holdConnection(t, f.strict, f.tokens["three"], spelling)
		require.Equal(t, http.StatusServiceUnavailable, x.status, spelling)
		require.Contains(t, x.body, "this address has 3 connections", spelling)
	}
	require.Equal(t, http.StatusOK, f.holdConnection(t, f.strict, f.tokens["three"], client+", 203.0.113.2").status)
}

// requireLimited sends a request on every transport, and requires that each is refused with the status and
// detail. Each refusal must permit the client to retry later. requireLimited returns the number of requests.
func (f *testbed) requireLimited(t *testing.T, p *hubtest.Process, status int, token, forwarded, detail string) (times int) {
	t.Helper()
	for _, r := range []request{
		{line: "GET /sse"}, {line: "GET /ws"}, {line: pollNow},
		{line: "GET /sse", header: []string{"Accept: text/event-stream"}},
		{line: "GET /ws", header: []string{"Origin: https://app.example.com"}},
	} {
		r.hub, r.token = p, token
		seen := r.header
		r.header = append([]string{"X-Forwarded-For: " + forwarded}, seen...)
		x := f.do(t, r)
		require.Equal(t, status, x.status, "%v %s", r, x.body)
		require.Contains(t, x.body, detail)
		switch {
		case seen == nil:
			require.NotEmpty(t, x.header.Get("Retry-After"), r.line)
		case strings.HasPrefix(r.line, "GET /sse"):
			require.NotNil(t, x.stream, "the refusal is sent as a stream, because an EventSource would not reconnect otherwise")
		default:
			require.Equal(t, 1013, x.code)
		}
		times++
	}
	return times
}

func tooManyConnections(t *testing.T, f *testbed) {
	f.exclusive(t)
	before := map[string]float64{}
	count := func(limit string) float64 {
		return f.metric(t, f.strict, `trivium_limited_total{limit="`+limit+`"}`)
	}
	for _, limit := range []string{"connections", "connections_per_token", "connections_per_address"} {
		before[limit] = count(limit)
	}
	const refused = http.StatusServiceUnavailable
	f.takes(t, "one", "203.0.113.1")
	f.takes(t, "one", "203.0.113.2")
	times := f.requireLimited(t, f.strict, refused, f.tokens["one"], "203.0.113.3", "this token has 2 connections")
	f.takes(t, "two", "203.0.113.1")
	f.takes(t, "two", "203.0.113.1")
	f.requireLimited(t, f.strict, refused, f.tokens["three"], "203.0.113.1", "this address has 3 connections")
	f.takes(t, "three", "203.0.113.4") // together with the connection of the watch, the hub now has six connections
	f.requireLimited(t, f.strict, refused, f.tokens["three"], "203.0.113.5", "the hub has 6 connections")
	for limit, n := range before {
		require.Equal(t, n+float64(times), count(limit), limit)
	}
	x := f.do(t, request{hub: f.strict, line: "POST /publish/still", token: f.tokens["one"], body: "1"})
	require.Equal(t, http.StatusOK, x.status, "a publish does not count as a connection")
}

// tooManyOfOneToken checks the default of --max-connections-per-token.
func tooManyOfOneToken(t *testing.T, f *testbed) {
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--tokens", f.quietFile, "--max-connections", "6", "--trusted-proxy", "127.0.0.1",
		"--origin", "https://app.example.com")...))
	p.Token = f.tokens["master"]
	for range 3 {
		require.Equal(t, http.StatusOK, f.holdConnection(t, p, f.tokens["one"], "203.0.113.1").status)
	}
	f.requireLimited(t, p, http.StatusServiceUnavailable, f.tokens["one"], "203.0.113.2", "this token has 3 connections")
	other := f.holdConnection(t, p, f.tokens["two"], "203.0.113.1")
	require.Equal(t, http.StatusOK, other.status)
	x := f.do(t, request{hub: p, line: "POST /publish/quiet", token: p.Token, body: "1"})
	require.Equal(t, http.StatusOK, x.status, x.body)
	data, err := other.next()
	require.NoError(t, err)
	require.Equal(t, "1", data)
}

func (f *testbed) takes(t *testing.T, who, address string) {
	t.Helper()
	x := f.holdConnection(t, f.strict, f.tokens[who], address)
	require.Equal(t, http.StatusOK, x.status, x.body)
}

// exceedRates uses a token that may start 2 subscriptions per second and publish 2 events per second,
// and requires that the hub enforces both limits on every route.
func exceedRates(t *testing.T, f *testbed) {
	hasty := f.tokens["hasty"]
	// rush calls try, which sends many requests at once, and requires that the hub accepts no more of them than the rate
	// limit allows.
	const requests = 30
	rush := func(limit string, try func() (statuses []int)) {
		counter := `trivium_limited_total{limit="` + limit + `"}`
		before, begin, done, refused := f.metric(t, f.main, counter), time.Now(), 0, 0
		for _, status := range try() {
			switch status {
			case http.StatusOK:
				done++
			default:
				require.Equal(t, http.StatusTooManyRequests, status)
				refused++
			}
		}
		require.LessOrEqual(t, float64(done), 3+2*time.Since(begin).Seconds(), limit)
		require.Positive(t, refused)
		require.Equal(t, before+float64(refused), f.metric(t, f.main, counter), limit)
	}
	answered := func(r request) func() []int {
		r.token = hasty
		return func() []int {
			statuses := make([]int, requests)
			var all sync.WaitGroup
			for i := range statuses {
				all.Go(func() {
					x := f.do(t, r)
					if statuses[i] = x.status; x.status != http.StatusOK && x.stream == nil && x.code == 0 && x.header.Get("Retry-After") == "" {
						t.Errorf("%s: no Retry-After", r.line)
					}
				})
			}
			all.Wait()
			return statuses
		}
	}
	for _, line := range []string{"GET /sse?topic=quiet", "GET /ws?topic=quiet", pollNow} {
		rush("connect_rate", answered(request{line: line}))
	}
	rush("connect_rate", answered(request{line: "GET /sse?topic=quiet", header: []string{"Accept: text/event-stream"}}))
	rush("connect_rate", answered(request{line: "GET /ws?topic=quiet", header: []string{"Origin: https://app.example.com"}}))
	rush("publish_rate", answered(request{line: "POST /publish/hasty", body: "1"}))
	rush("publish_rate", answered(request{line: "POST /publish", body: `{"topic":"hasty","data":1}`}))

	var x *exchange
	require.Eventually(t, func() bool {
		x = f.start(t, request{line: "GET /ws?subscribe=none", token: hasty})
		return x.status == http.StatusOK
	}, hubtest.Patience, 100*time.Millisecond)
	said := func(command string) func() []int {
		return func() (statuses []int) {
			_, err := x.conn.Write(bytes.Repeat(clientFrame(bitFin|opText, []byte(command)), requests))
			require.NoError(t, err)
			for range requests {
				status := http.StatusOK
				if m := f.answerTo(t, x); m.Op == decode.OpError {
					status = m.Problem.Status
				}
				statuses = append(statuses, status)
			}
			return statuses
		}
	}
	rush("publish_rate", said(`{"op":"publish","topic":"hasty","data":1}`))
	rush("connect_rate", said(`{"op":"subscribe","topic":"quiet"}`))
	// In a streamed request, a publisher above its rate is slowed down instead of refused.
	begin := time.Now()
	x = f.do(t, request{line: "POST /publish", token: hasty, header: []string{"Content-Type: application/x-ndjson"}, body: strings.Repeat(`{"topic":"hasty","data":1}`+"\n", 4)})
	require.Equal(t, http.StatusOK, x.status, x.body)
	require.Greater(t, time.Since(begin), time.Second/2)
}
