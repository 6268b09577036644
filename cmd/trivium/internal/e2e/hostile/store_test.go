package hostile

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// storeAttacks concern resources that all tokens share: retained events, idempotency keys and the
// engine.
var storeAttacks = []attack{
	{"many replays of the whole log, whose memory use could make the hub remove retained events", readingEverything},
	{"one token that tries to use up all idempotency keys", takingAllKeys},
	{"many concurrent publishes of 16 MB arrays, with an engine that stores events on disk", manyArrays},
}

// tenants starts a hub for one attack, with the tokens of the testbed.
func (f *testbed) tenants(t *testing.T, args ...string) *hubtest.Process {
	t.Helper()
	p := f.serve(t, hubtest.Program(t, nil, append(append(hubtest.AnyPorts, "--tokens", f.quietFile), args...)...))
	p.Token = f.tokens["master"]
	return p
}

// readingEverything replays the whole log with one token, over SSE and WebSocket. The memory that the
// replays use must not cause the hub to remove retained events.
func readingEverything(t *testing.T, f *testbed) {
	const limit, size = 4 << 20, 1000
	p := f.tenants(t, "--retain-bytes", fmt.Sprint(limit))
	line := `{"topic":"history","data":"` + strings.Repeat("x", size) + `"}` + "\n"
	x := f.do(t, request{hub: p, line: "POST /publish", token: f.tokens["publisher"],
		header: []string{"Content-Type: application/x-ndjson"}, body: strings.Repeat(line, 2*limit/size)})
	require.Equal(t, http.StatusOK, x.status, x.body)
	before := p.Stats().Events
	require.Positive(t, before.Removed["bytes"], "the log is full, so that retention removes events")

	epoch, _, _ := strings.Cut(p.Stats().Position, "-")
	query := fmt.Sprintf("?topic=history&cursor=%s-%d", epoch, before.Published-uint64(before.Retained))
	sse := f.start(t, request{hub: p, line: "GET /sse" + query, token: f.tokens["reader"]})
	for found := 0; found < before.Retained; {
		e, err := sse.stream.Next()
		require.NoError(t, err)
		require.NotEqual(t, "trivium.gap", e.Type)
		if e.Topic == "history" {
			found++
		}
	}
	ws := f.start(t, request{hub: p, line: "GET /ws" + query, token: f.tokens["reader"]})
	for found := 0; found < before.Retained; {
		m, _, err := ws.message()
		require.NoError(t, err)
		require.NotEqual(t, decode.OpGap, m.Op)
		if m.Event != nil {
			found++
		}
	}
	read := p.Stats().Events
	x = f.do(t, request{hub: p, line: "POST /publish/history", token: f.tokens["publisher"], body: `"` + strings.Repeat("x", size) + `"`})
	require.Equal(t, http.StatusOK, x.status)
	after := p.Stats().Events
	t.Logf("retained: %d events; after two replays %d bytes of %d; after one publish %d events", before.Retained, read.RetainedBytes, limit, after.Retained)
	require.LessOrEqual(t, read.RetainedBytes, int64(limit))
	require.LessOrEqual(t, after.RetainedBytes, int64(limit))
	require.GreaterOrEqual(t, after.Retained, before.Retained-1)
}

// takingAllKeys publishes events with one token, each with a new idempotency key, until the hub
// refuses a publish. It then requires that other tokens can still use new keys, and that the hub still
// knows the first key.
func takingAllKeys(t *testing.T, f *testbed) {
	p := f.tenants(t)
	publish := func(name, key string) request {
		return request{hub: p, line: "POST /publish/keys", token: f.tokens[name], header: []string{"Idempotency-Key: " + key}, body: "1"}
	}
	const keys = 100_000
	conn, err := net.Dial("tcp", p.HTTP)
	require.NoError(t, err)
	defer conn.Close()
	go func() { // publishes on one connection without waiting for answers
		w := bufio.NewWriterSize(conn, 64<<10)
		for i := range keys + 1 {
			r := publish("one", fmt.Sprint(i))
			r.host = p.HTTP
			if _, err := w.WriteString(r.text()); err != nil {
				return
			}
		}
		w.Flush()
	}()
	answers, taken := bufio.NewReader(conn), 0
	for ; ; taken++ {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(hubtest.Patience)))
		response, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		if response.StatusCode != http.StatusOK {
			require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
			require.NotEmpty(t, response.Header.Get("Retry-After"))
			t.Logf("after %d keys: %s", taken, text)
			require.Contains(t, string(text), "for this token")
			break
		}
	}
	conn.Close()
	require.Less(t, taken, keys/2)
	require.Equal(t, http.StatusOK, f.do(t, publish("one", "0")).status, "a repeated key gets the answer of the first publish")
	for i := range 100 {
		x := f.do(t, publish("two", fmt.Sprint(i)))
		require.Equal(t, http.StatusOK, x.status, x.body)
	}
}

// manyArrays publishes arrays of 16 MB concurrently with one token. It requires that small events
// of other tokens are accepted and delivered at the same time, that no subscriber misses an event,
// and that an array answered with 503 is not in the log.
func manyArrays(t *testing.T, f *testbed) {
	for try := 1; !tryManyArrays(t, f); try++ {
		require.Less(t, try, 3, "in one of the attempts, no event of the other token is refused")
		t.Log("the disk was too slow for the engine's timeouts")
	}
}

// tryManyArrays is one attempt of manyArrays. It returns false if the hub has refused an event of the other token.
func tryManyArrays(t *testing.T, f *testbed) bool {
	const arrays, rounds, events, size = 24, 2, 16, 1_000_000
	p := f.tenants(t, "--engine", "embedded", "--store", t.TempDir(), "--retain-bytes", "1GiB")
	filling := strings.Repeat("x", size)
	statuses := make([]int, arrays*rounds)
	var attack sync.WaitGroup
	for i := range arrays {
		list := make([]string, events)
		for j := range list {
			list[j] = fmt.Sprintf(`{"topic":"array.%d","data":"%s"}`, i, filling)
		}
		attack.Go(func() {
			for round := range rounds {
				statuses[i*rounds+round] = post(p, f.tokens["one"], "["+strings.Join(list, ",")+"]")
			}
		})
	}
	ended := make(chan struct{})
	go func() { attack.Wait(); close(ended) }()

	watch := f.start(t, request{hub: p, line: "GET /sse?topic=victim", token: f.tokens["reader"]})
	require.Equal(t, http.StatusOK, watch.status)
	refused, n, slowest := 0, 0, time.Duration(0)
	for under := true; under; n++ {
		select {
		case <-ended:
			under = false
		default:
		}
		begin := time.Now()
		x := f.do(t, request{hub: p, line: "POST /publish/victim", token: f.tokens["two"], body: fmt.Sprint(n)})
		slowest = max(slowest, time.Since(begin))
		if x.status != http.StatusOK {
			refused++
		}
	}
	t.Logf("%d publishes of the victim, %d refused, the slowest took %v; the hub restarted reading the stream %d times; the arrays were answered with %v",
		n, refused, slowest, strings.Count(p.Log(), "following the stream failed, retrying"), statuses)
	if refused > 0 {
		attack.Wait()
		return false
	}
	for next := 0; next < n; {
		e, err := watch.stream.Next()
		require.NoError(t, err)
		require.NotEqual(t, "trivium.gap", e.Type)
		if e.Topic == "victim" {
			require.Equal(t, fmt.Sprint(next), e.Data)
			next++
		}
	}
	requireStored(t, p, statuses, events, n)
	return true
}

// requireStored checks that the hub has stored the arrays that were answered with 200, the given number of
// other events, and nothing else. statuses are the answers to the arrays, and size is the number of their events.
func requireStored(t *testing.T, p *hubtest.Process, statuses []int, size, others int) {
	taken := 0
	for _, status := range statuses {
		if status == http.StatusOK {
			taken++
		}
	}
	require.Positive(t, taken)
	// A publish may be answered before the hub has received all its events from the stream.
	stored := func() int { return int(p.Stats().Events.Published) - others }
	require.Eventually(t, func() bool { return stored() >= taken*size }, hubtest.Patience, 10*time.Millisecond)
	require.Equal(t, taken*size, stored(), "an array answered with 503 is not in the log")
}

// post publishes body and returns the status, or 0 if the request failed.
func post(p *hubtest.Process, token, body string) (status int) {
	r, err := http.NewRequest(http.MethodPost, "http://"+p.HTTP+"/publish", strings.NewReader(body))
	if err != nil {
		return 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := (&http.Client{Timeout: 2 * hubtest.Patience}).Do(r)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}
