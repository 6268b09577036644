package js

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// response describes an answer to a request of an EventSource.
type response struct {
	status      int    // 0: 200
	contentType string // "": text/event-stream
	location    string
	parts       []string // each part is sent by a separate write
}

// Each element of streams is one test case: the responses to the consecutive connections of an
// EventSource. The last response of a case is repeated.
var streams = [][]response{
	{{parts: []string{"data: a\n\ndata:b\ndata\ndata: c\n\nevent: price\ndata:  7\n\n: comment\n\ndata: end\n\n"}}},
	// An event without data is not dispatched, but its id is recorded.
	{{parts: []string{"id: 1\ndata: x\n\nevent: price\nid: 2\n\nid\ndata: y\n\nid: 3\0004\ndata: z\n\ndata: end\n\n"}}},
	// This stream contains every kind of line ending. Some line endings are split between two parts.
	{{parts: []string{"data: a\r", "\ndata: b\r\r", "data: c\r\n\r", "\ndata: d\n\r\ndata:e\r", "\r", "data: end\n\n"}}},
	{{parts: []string{"\uFEFFdata: with a mark\n\n", "data: \xe2\x82", "\xac and \xff\n\n", "\uFEFFdata: not a field\n\ndata: end\n\n"}}},
	{{parts: []string{"data\n\ndata\ndata\n\nother: x\ndata : y\n data: z\n\ndatas: u\ndata: :v:\n\ndata: end\n\n"}}},
	// An event that is incomplete at the end of a stream is dropped. The next connection resumes
	// after the last id.
	{
		{parts: []string{"retry: 20\nid: é€\nevent: price\ndata: 1\n\nid: never\ndata: incomplete\n"}},
		{parts: []string{"retry: 30x\nretry:-1\ndata: 2\n\nid: 5\ndata: 3\n\n"}},
		{parts: []string{"retry: 1\nid\ndata: 4\n\n"}},
		{parts: []string{"data: end\n\n"}},
	},
	// A redirect is followed. The next connection uses the original URL again.
	{{status: 307, location: "?next"}, {parts: []string{"retry: 1\nid: 6\ndata: 1\n\n"}}, {parts: []string{"data: end\n\n"}}},
	// After each of these answers, the EventSource is closed and does not reconnect.
	{{status: 204}},
	{{status: 500, parts: []string{"data: x\n\n"}}},
	{{status: 401, parts: []string{"data: x\n\n"}}},
	{{contentType: "text/plain", parts: []string{"data: x\n\n"}}},
	{{contentType: "text/event-streams", parts: []string{"data: x\n\n"}}},
	{{contentType: "Text/Event-Stream;charset=utf-8", parts: []string{"retry: 1\ndata: 1\n\n"}}, {status: 503}},
}

// streamServer answers requests for /CLIENT/N with streams[N], and records the requests of each
// client.
type streamServer struct {
	mu       sync.Mutex
	requests map[string][]string // requests by path
}

func (s *streamServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n >= len(streams) {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	key := r.PathValue("client") + "/" + r.PathValue("n")
	answer := streams[n][min(len(s.requests[key]), len(streams[n])-1)]
	s.requests[key] = append(s.requests[key], fmt.Sprintf("%q %q", r.Header.Get("Accept"), r.Header.Get("Last-Event-Id")))
	s.mu.Unlock()

	w.Header().Set("Content-Type", "text/event-stream")
	if answer.contentType != "" {
		w.Header().Set("Content-Type", answer.contentType)
	}
	if answer.location != "" {
		w.Header().Set("Location", answer.location)
	}
	w.WriteHeader(max(answer.status, http.StatusOK))
	for _, part := range answer.parts {
		_, _ = w.Write([]byte(part)) // fails if the client has disconnected
		_ = http.NewResponseController(w).Flush()
	}
}

// TestEventSourceMatchesBrowser runs the same program with the browser's EventSource and with the
// EventSource of this package, in Chromium and in Node.js. It compares the events that the program
// receives, and the requests that the server receives.
func TestEventSourceMatchesBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	findNode(t)
	s := &streamServer{requests: map[string][]string{}}
	routes := http.NewServeMux()
	routes.Handle("/stream/{client}/{n}", s)
	routes.Handle("/", http.FileServer(http.Dir(".")))
	server := httptest.NewServer(routes)
	defer server.Close()
	tab := openTab(t, server.URL+"/testdata/blank.html")
	defer server.CloseClientConnections()

	inPage := func(client, class string) []json.RawMessage {
		return evaluate[[]json.RawMessage](t, tab, fmt.Sprintf(`(async () => {
			const { record, splitAnswers } = await import("/testdata/eventsource.mjs")
			const ours = await import("/dist/trivium-eventsource.js")
			const logs = []
			if (%t) splitAnswers()
			for (let n = 0; n < %d; n++) logs.push(await record(%s, %q + n))
			return logs
		})()`, client == "split", len(streams), class, server.URL+"/stream/"+client+"/"))
	}
	native := inPage("native", "EventSource")
	require.Len(t, native, len(streams))
	ours := inPage("ours", "ours.EventSource")
	split := inPage("split", "ours.EventSource")
	out, err := exec.CommandContext(t.Context(), "node", "testdata/eventsource-node.mjs", server.URL+"/stream/node/N", strconv.Itoa(len(streams))).Output()
	require.NoError(t, err)
	var inNode []json.RawMessage
	require.NoError(t, json.Unmarshal(out, &inNode))
	for n, want := range native {
		require.JSONEq(t, string(want), string(ours[n]), "stream %d in Chromium", n)
		require.JSONEq(t, string(want), string(split[n]), "stream %d, byte by byte", n)
		require.JSONEq(t, string(want), string(inNode[n]), "stream %d in Node.js", n)
		for _, client := range []string{"ours", "split", "node"} {
			require.Equal(t, s.requests["native/"+strconv.Itoa(n)], s.requests[client+"/"+strconv.Itoa(n)], "stream %d: %s", n, client)
		}
	}
}

// TestEventSourceReadsFromHub runs an EventSource that sends a token in a header, in Node.js. It
// checks that the EventSource receives events from a hub and continues after its connection is
// lost.
func TestEventSourceReadsFromHub(t *testing.T) {
	t.Parallel()
	findNode(t)
	h := startHub(t)
	h.publish(t, "t", "0")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "testdata/eventsource-hub.mjs", h.URL+"/hub", testToken)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	reads := func(want string) {
		t.Helper()
		require.True(t, lines.Scan(), "the program ended before %s: %v", want, lines.Err())
		require.Equal(t, want, lines.Text())
	}
	reads("0")
	h.publish(t, "t", "1")
	reads("1")
	h.conns.cut()
	h.publish(t, "t", "2")
	h.publish(t, "t", `"end"`)
	reads("2")
	reads(`"end"`)
	reads("requests: 2")
	require.False(t, lines.Scan(), "the program ends after its EventSource is closed")
	require.NoError(t, cmd.Wait())
}
