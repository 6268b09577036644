package hostile

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// incomingAttacks send endless data. The hub's memory and processor time must stay bounded, and
// other publishers must be served.
var incomingAttacks = []attack{
	{"NDJSON bodies of endless white space, on many connections", endlessLines},
	{"large bodies that never end, with one token and with many tokens", endlessBodies},
	{"WebSocket messages that never end", endlessMessages},
	{"a WebSocket command with 7,000 filters", manyFilters},
	{"JSON nested too deeply", deepNesting},
	{"WebSocket messages of many empty compressed blocks", emptyBlocks},
}

// publishAsOther publishes an event of one byte and one of 64 KiB with another token, and requires
// success.
func (f *testbed) publishAsOther(t *testing.T, p *hubtest.Process) {
	t.Helper()
	for _, size := range []int{1, 64 << 10} {
		x := f.do(t, request{hub: p, line: "POST /publish/victim", token: f.tokens["two"], header: []string{"Content-Type: text/plain"}, body: strings.Repeat("x", size)})
		require.Equal(t, http.StatusOK, x.status, "%d bytes: %s", size, x.body)
	}
}

// serveAlone starts a hub that no other attack uses, so that the hub's memory can be measured.
func (f *testbed) serveAlone(t *testing.T, args ...string) *hubtest.Process {
	return f.serve(t, hubtest.Binary(t, slices.Concat(hubtest.AnyPorts, []string{"--tokens", f.quietFile}, args)...))
}

// waitRefusals waits until the hub has refused n requests because of a limit.
func (f *testbed) waitRefusals(t *testing.T, p *hubtest.Process, limit string, n float64) {
	t.Helper()
	counter := `trivium_limited_total{limit="` + limit + `"}`
	require.Eventually(t, func() bool {
		f.publishAsOther(t, p)
		return f.metric(t, p, counter) >= n
	}, hubtest.Patience, 50*time.Millisecond, counter)
}

// requireBoundedMemory logs the growth of the hub's memory, and requires that it is bounded.
func (f *testbed) requireBoundedMemory(t *testing.T, p *hubtest.Process, before int64) {
	t.Helper()
	after := p.Resident()
	t.Logf("resident: %d MiB before, %d MiB after; reserved: %.0f MiB", before/hubtest.Mebibyte, after/hubtest.Mebibyte, f.metric(t, p, "trivium_receiving_bytes")/hubtest.Mebibyte)
	require.Less(t, after-before, int64(int64(128<<20)*3/2), "growth of the memory, which includes garbage that is not collected yet")
}

// sendPieces starts a publish request on a new connection. In another goroutine, it writes a body that
// consists of the given number of equal pieces, and stops early if a write fails.
func (f *testbed) sendPieces(t *testing.T, p *hubtest.Process, token, header, piece string, pieces int) {
	x := f.send(t, p.HTTP, "")
	go func() {
		_, err := fmt.Fprintf(x.conn, "POST /publish HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", p.HTTP, token, header)
		for range pieces {
			if err == nil {
				_, err = io.WriteString(x.conn, piece)
			}
		}
	}()
}

func endlessLines(t *testing.T, f *testbed) {
	p := f.serveAlone(t, "--read-timeout", "10m") // no body may time out before the last one has been sent
	before := p.Resident()
	const header = "Content-Type: application/x-ndjson\r\nContent-Length: 1000000000"
	for range 60 {
		f.sendPieces(t, p, f.tokens["one"], header, strings.Repeat(" ", 6<<20), 1)
	}
	f.waitRefusals(t, p, "receiving_per_token", 50)
	f.requireBoundedMemory(t, p, before)
}

func endlessBodies(t *testing.T, f *testbed) {
	p := f.serveAlone(t, "--read-timeout", "10m")
	before := p.Resident()
	const size = 16<<20 - 1
	pour := func(who string) {
		f.sendPieces(t, p, f.tokens[who], fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d", size), strings.Repeat(" ", size-1), 1)
	}
	for range 9 {
		pour("one")
	}
	f.waitRefusals(t, p, "receiving_per_token", 6)
	large := request{hub: p, line: "POST /publish", token: f.tokens["two"], body: strings.Repeat(" ", 1<<20) + `{"topic":"large","data":1}`}
	require.Equal(t, http.StatusOK, f.do(t, large).status, "the limit of one token does not affect other tokens")
	for _, who := range []string{"master", "publisher", "three", "hasty"} {
		for range 3 {
			pour(who)
		}
	}
	f.waitRefusals(t, p, "receiving", 1)
	f.requireBoundedMemory(t, p, before)
}

func endlessMessages(t *testing.T, f *testbed) {
	// This hub has a short read timeout. It must close a WebSocket if a message is not complete within the
	// timeout, and free the memory of the message. On a slow machine, it may also refuse requests, which the
	// test then repeats.
	const overdue = 20
	brief := f.serveAlone(t, "--read-timeout", "1s")
	unfinished := string(clientFrame(opText, []byte(strings.Repeat(" ", 60<<10))))
	for begin, opened := time.Now(), 0; opened < overdue; {
		require.Less(t, time.Since(begin), hubtest.Patience)
		if x, ok := f.tryWebSocket(t, brief); ok {
			opened++
			_, _ = io.WriteString(x.conn, unfinished) // fails if the hub closes the WebSocket before the last byte
		}
	}

	p := f.serveAlone(t, "--read-timeout", "10m") // no message may time out before the last one has been sent
	before := p.Resident()
	r := request{line: "GET /ws?subscribe=none", token: f.tokens["one"], host: p.HTTP}
	for range 800 {
		f.send(t, p.HTTP, r.text()+unfinished)
	}
	f.waitRefusals(t, p, "receiving_per_token", 50)
	f.requireBoundedMemory(t, p, before)
	x := f.start(t, request{hub: p, line: "GET /ws?subscribe=none", token: f.tokens["two"]})
	m := f.command(t, x, `{"op":"publish","topic":"victim","data":"`+strings.Repeat("x", 60<<10)+`"}`)
	require.Equal(t, decode.OpAck, m.Op)

	late := fmt.Sprintf("\ntrivium_websocket_refused_total{reason=\"receiving_time\"} %d\n", overdue)
	require.Eventually(t, func() bool {
		page := tryMetrics(brief)
		return strings.Contains(page, late) && strings.Contains(page, "\ntrivium_receiving_bytes 0\n")
	}, hubtest.Patience, 50*time.Millisecond)
}

// tryWebSocket opens a WebSocket without subscriptions. It returns false if the hub refused it: a hub with a short read
// timeout refuses a late request.
func (f *testbed) tryWebSocket(t *testing.T, p *hubtest.Process) (*exchange, bool) {
	t.Helper()
	r := request{line: "GET /ws?subscribe=none", token: f.tokens["one"], host: p.HTTP}
	x := f.send(t, p.HTTP, r.text())
	response, err := http.ReadResponse(x.reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		x.conn.Close()
		return nil, false
	}
	return x, true
}

// tryMetrics returns the metrics of a hub, or "" if the hub refused the request: a hub with a short read timeout refuses
// a late request.
func tryMetrics(p *hubtest.Process) string {
	response, err := p.Client.Get("http://" + p.Admin + "/metrics")
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	page, _ := io.ReadAll(response.Body) // if the page is incomplete, the test finds no line and repeats the request
	return string(page)
}

// manyFilters sends lists with too many filters, and logs the processor time that the hub needs to
// refuse one.
func manyFilters(t *testing.T, f *testbed) {
	p := f.serveAlone(t)
	x := f.start(t, request{hub: p, line: "GET /ws?subscribe=none", token: f.tokens["one"]})
	var different strings.Builder
	for i := range 7000 {
		fmt.Fprintf(&different, `,"%06x"`, i)
	}
	before := f.metric(t, p, "process_cpu_seconds_total")
	const commands = 20
	for _, op := range []string{"subscribe", "unsubscribe"} {
		for _, list := range []string{different.String(), strings.Repeat(`,"a"`, 65)} {
			for range commands / 4 {
				m := f.command(t, x, `{"op":"`+op+`","topic":[`+list[1:]+`]}`)
				require.Equal(t, decode.OpError, m.Op)
				require.Contains(t, m.Problem.Detail, "at most 64 filters")
			}
		}
	}
	t.Logf("processor time of a refused command: %.1f ms", (f.metric(t, p, "process_cpu_seconds_total")-before)/commands*1000)
	query := strings.Repeat("&topic=a", 65)[1:]
	for _, line := range []string{"GET /sse?", "GET /ws?", "GET /poll?wait=0&"} {
		require.Equal(t, http.StatusBadRequest, f.do(t, request{hub: p, line: line + query, token: f.tokens["one"]}).status, line)
	}
	require.Equal(t, decode.OpAck, f.command(t, x, `{"op":"subscribe","topic":[`+strings.Repeat(`,"a"`, 64)[1:]+`]}`).Op)
}

func deepNesting(t *testing.T, f *testbed) {
	const topic = "nested"
	for _, levels := range []int{501, 10_001, 30_000} {
		data := strings.Repeat("[", levels) + `"` + breach + `"` + strings.Repeat("]", levels)
		envelope := fmt.Sprintf(`{"op":"publish","topic":%q,"data":%s}`, topic, data)
		for _, r := range []request{
			{line: "POST /publish/" + topic, body: data},
			{line: "POST /publish/" + topic, body: data, header: []string{"Content-Type: application/json"}},
			{line: "POST /publish", body: envelope},
			{line: "POST /publish", body: "[" + envelope + "]"},
			{line: "POST /publish", body: envelope + "\n", header: []string{"Content-Type: application/x-ndjson"}},
		} {
			r.token = f.tokens["one"]
			x := f.do(t, r)
			require.Equal(t, http.StatusBadRequest, x.status, x.body)
			require.Contains(t, x.body, "more than 500 levels deep")
		}
		x := f.start(t, request{line: "GET /ws?subscribe=none", token: f.tokens["one"]})
		m := f.command(t, x, envelope)
		require.Equal(t, decode.OpError, m.Op)
		require.Contains(t, m.Problem.Detail, "more than 500 levels deep")
	}
}

// emptyBlocks sends 30 messages of 64 KiB, each of which decompresses to an empty message.
func emptyBlocks(t *testing.T, f *testbed) {
	counter := `trivium_websocket_refused_total{reason="blocks"}`
	before := f.metric(t, f.lenient, counter)
	payload := bytes.Repeat([]byte("\x00\x00\x00\xff\xff"), 13_000)
	for range 30 {
		x := f.start(t, request{hub: f.lenient, line: "GET /ws?subscribe=none", header: []string{"Sec-WebSocket-Extensions: permessage-deflate"}})
		require.Equal(t, http.StatusOK, x.status)
		go func() { _, _ = x.conn.Write(clientFrame(bitFin|bitDeflated|opText, payload)) }()
		_, code, err := x.message()
		require.NoError(t, err)
		require.Equal(t, 1008, code)
	}
	require.Equal(t, before+30, f.metric(t, f.lenient, counter))
}
