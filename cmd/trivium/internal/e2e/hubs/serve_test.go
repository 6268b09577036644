package hubs

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/problems"
)

// The test publishes events over UDP, HTTP and WebSocket. Each transport delivers them with the same IDs, in
// the same order and with the same bytes. No log line contains the token.
func TestEveryTransportDeliversSameEvents(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	stream, socket := p.SSE("envelope=1"), p.WebSocket("topic=>")

	p.Datagram(`{"price":1.50,  "n":12345678901234567890}`)
	require.Equal(t, "events", p.Message(socket).Event.Topic)
	p.Publish("application/json", `[{"topic":"a.b","type":"t","key":"k","data":"one\r\ntwo","text":true},{"topic":"c","data_base64":"AP8="}]`)
	status, text := p.Request(http.MethodPost, "http://"+p.HTTP+"/publish/a%2Fb", "text/plain", "plain")
	require.Equal(t, http.StatusOK, status, text)
	require.NoError(t, socket.Write(t.Context(), websocket.MessageText, []byte(`{"op":"publish","ref":7,"topic":"ws","data":[ 1 ]}`)))

	want := []string{`events {"price":1.50,  "n":12345678901234567890}`, "a.b one\r\ntwo", "c \x00\xff", "a/b plain", "ws [ 1 ]"}
	spell := func(e *hub.Event) string { return e.Topic + " " + string(e.Data) }
	var polled, streamed []string
	var ids, streamedIDs []hub.Cursor
	for cursor := "last=1000"; len(polled) < len(want); {
		answer := p.Poll("max=2&" + cursor)
		for _, e := range answer.Events {
			polled, ids = append(polled, spell(e)), append(ids, e.ID)
		}
		cursor = "cursor=" + answer.Cursor
	}
	for range want {
		next, err := stream.Next()
		require.NoError(t, err)
		e, err := client.DecodeEnvelope([]byte(next.Data))
		require.NoError(t, err)
		require.Equal(t, next.ID, e.ID.String())
		streamed, streamedIDs = append(streamed, spell(e)), append(streamedIDs, e.ID)
	}
	require.Equal(t, want, polled)
	require.Equal(t, want, streamed)
	require.Equal(t, ids, streamedIDs)
	for i, acked := 1, false; i < len(want) || !acked; {
		switch m := p.Message(socket); m.Op {
		case decode.OpAck:
			acked = true
			require.Equal(t, ids[4].String(), m.ID)
		default:
			require.Equal(t, want[i], spell(m.Event))
			require.Equal(t, ids[i], m.Event.ID)
			i++
		}
	}
	for line := range strings.Lines(p.Log()) {
		if strings.HasPrefix(line, "{") { // other lines are not log lines but text for the user, which may contain the token
			require.NotContains(t, line, p.Token)
		}
	}
}

// A hub drains while it has subscribers on every transport. One of the subscribers does not read. All others
// receive all events before they are disconnected.
func TestDrainDeliversEverything(t *testing.T) {
	t.Parallel()
	window := 2 * time.Second // the value of --drain
	for !drainDelivers(t, window) {
		require.Less(t, window, 2*time.Minute, "the clients are done before a drain of two minutes ends")
		window *= 4
	}
}

// drainEvents is the number of events of 400 KB that are published before the drain. Together they are larger than the
// kernel's buffers for a subscriber that does not read.
const drainEvents = 40

// drainDelivers publishes events and drains a hub whose --drain equals window. It returns false if the
// machine was too slow: if the drain ended before the last request of the test, or before all subscribers
// except the stalled one had received all events.
func drainDelivers(t *testing.T, window time.Duration) bool {
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--drain", window.String(), "--auth", "none")...))
	stream, socket := p.SSE(""), p.WebSocket("")
	stalled, err := net.Dial("tcp", p.HTTP)
	require.NoError(t, err)
	defer stalled.Close()
	_, err = io.WriteString(stalled, "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	polled := make(chan drainAnswer, 1)
	go func() {
		last := drainAnswer{status: http.StatusOK}
		for last.status == http.StatusOK && last.header.Get("Retry-After") == "" {
			last = askDuringDrain(p, http.MethodGet, "/poll?topic=quiet&wait=60", "")
		}
		polled <- last
	}()
	require.Eventually(t, func() bool { return p.Stats().Subscribed.Subscriptions == 4 }, hubtest.Patience, 10*time.Millisecond)
	// Two subscribers read continuously, so that the hub does not disconnect them as stalled.
	streamed, received := make(chan drainedReader, 1), make(chan drainedReader, 1)
	go func() { streamed <- readStream(stream) }()
	go func() { received <- readSocket(socket) }()
	for i := range drainEvents {
		p.Publish("application/json", fmt.Sprintf(`{"topic":"big","data":"%d %s"}`, i, strings.Repeat("x", 400<<10)))
	}

	signaled := time.Now()
	p.Signal(syscall.SIGTERM)
	last := <-polled
	ready := drainAnswer{status: http.StatusOK}
	for ready.status == http.StatusOK {
		ready = askDuringDrain(p, http.MethodGet, "/readyz", "")
	}
	poll := askDuringDrain(p, http.MethodGet, "/poll", "")
	late := askDuringDrain(p, http.MethodPost, "/publish/late", "1")
	took := time.Since(signaled)
	sse, ws := <-streamed, <-received
	code, _ := p.Wait()
	require.Zero(t, code)
	ended := loggedLine(p, func(l logLine) bool { return l.Msg == "the hub has stopped" })
	pollCameLate := last.status == http.StatusServiceUnavailable // the last poll was sent after the drain had begun
	if ended.Cut > 1 || took >= window || pollCameLate {
		return false
	}
	require.Equal(t, 1, ended.Cut)
	require.Equal(t, http.StatusOK, last.status)
	require.Equal(t, http.StatusServiceUnavailable, ready.status)
	require.Equal(t, http.StatusServiceUnavailable, poll.status)
	require.Equal(t, http.StatusOK, late.status, "the hub accepts events until the last subscriber is disconnected")
	require.ErrorIs(t, sse.err, io.ErrUnexpectedEOF, "the body ends without its last chunk, because some clients do not reconnect after a complete body")
	require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(ws.err))
	require.Equal(t, []int{drainEvents, 1}, []int{sse.seen["big"], sse.seen["trivium.goaway"]})
	require.Equal(t, []int{drainEvents, 1}, []int{ws.seen["big"], ws.seen[decode.OpGoaway]})
	return true
}

// drainAnswer is the answer to a request, or empty if the request failed.
type drainAnswer struct {
	status int
	header http.Header
}

func askDuringDrain(p *hubtest.Process, method, path, body string) drainAnswer {
	r, err := http.NewRequest(method, "http://"+p.HTTP+path, strings.NewReader(body))
	if err != nil {
		return drainAnswer{}
	}
	response, err := p.Client.Do(r)
	if err != nil {
		return drainAnswer{}
	}
	response.Body.Close()
	return drainAnswer{response.StatusCode, response.Header}
}

// drainedReader counts the messages that a subscriber received until its connection ended.
type drainedReader struct {
	seen map[string]int // number of messages, by topic or type
	err  error
}

func readStream(stream *decode.SSEDecoder) drainedReader {
	r := drainedReader{seen: map[string]int{}}
	for r.err == nil {
		var next decode.SSEEvent
		if next, r.err = stream.Next(); r.err == nil {
			r.seen[next.Type+next.Topic]++
		}
	}
	return r
}

func readSocket(socket *websocket.Conn) drainedReader {
	r := drainedReader{seen: map[string]int{}}
	for r.err == nil {
		var text []byte
		if _, text, r.err = socket.Read(context.Background()); r.err == nil {
			if m, err := decode.DecodeMessage(text); err == nil && m.Event != nil {
				r.seen[m.Event.Topic]++
			} else {
				r.seen[m.Op]++
			}
		}
	}
	return r
}

// A second signal ends a drain immediately.
func TestSecondSignalEndsDrain(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--drain", "1h")...))
	p.SSE("")
	p.Signal(syscall.SIGHUP) // does not end the hub
	p.Signal(syscall.SIGTERM)
	require.Eventually(t, func() bool { return strings.Contains(p.Log(), "draining") }, hubtest.Patience, time.Millisecond)
	p.Signal(syscall.SIGINT)
	code, _ := p.Wait() // the drain itself would take much longer
	require.Equal(t, 1, code)
}

// The metrics count refused publishes and dropped datagrams by reason.
func TestDropsAreCountedByReason(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--max-event-bytes", "1KiB", "--auth", "none")...))
	for _, text := range []string{
		"{\"n\":1}\n{broken\n{\"n\":2}", `{"topic":"a..b","data":1}`, `{"topic":"a","type":"open","data":1}`,
		`{"topic":"a","key":"\u0007","data":1}`, `"` + strings.Repeat("x", 2000) + `"`,
	} {
		p.Datagram(text)
	}
	require.Eventually(t, func() bool { u := p.Stats().UDP; return u.Datagrams == 5 && u.Events == 2 }, hubtest.Patience, 10*time.Millisecond)
	_, metrics := p.Request(http.MethodGet, "http://"+p.Admin+"/metrics", "", "")
	for _, line := range []string{
		"trivium_udp_datagrams_total 5", "trivium_udp_events_total 2", "trivium_events_published_total 2",
		`trivium_udp_dropped_total{reason="malformed"} 1`, `trivium_udp_dropped_total{reason="topic"} 1`,
		`trivium_udp_dropped_total{reason="type"} 2`, `trivium_udp_dropped_total{reason="too_large"} 1`,
		`trivium_udp_dropped_total{reason="kernel"} 0`, `trivium_udp_dropped_total{reason="overload"} 0`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		require.Contains(t, metrics, line)
	}
}

// The hub refuses requests without a valid token, with a foreign Origin or with an unknown Host. Some
// routes need no token.
func TestAccessControl(t *testing.T) {
	closed := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	open := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none", "--host", "hub.test")...))
	foreign := http.Header{"Origin": {"https://evil.test"}}
	for name, c := range map[string]struct {
		p            *hubtest.Process
		method, path string
		host         string
		header       http.Header
		admin        bool
		status       int
	}{
		"no token":                 {p: closed, path: "/poll?wait=0", status: 401},
		"publish without a token":  {p: closed, method: "POST", path: "/publish/a", status: 401},
		"wrong token":              {p: closed, path: "/sse?access_token=wrong", status: 401},
		"two tokens":               {p: closed, path: "/poll?access_token=a", header: http.Header{"Authorization": {"Bearer b"}}, status: 400},
		"token in the query":       {p: closed, path: "/poll?wait=0&access_token=" + closed.Token, status: 200},
		"health needs no token":    {p: closed, path: "/healthz", status: 200},
		"readiness needs no token": {p: closed, path: "/readyz", status: 200},
		"foreign origin, token":    {p: closed, path: "/poll?access_token=" + closed.Token, header: foreign, status: 403},
		"foreign origin, no auth":  {p: open, method: "POST", path: "/publish/a", header: foreign, status: 403},
		"null origin, no auth":     {p: open, path: "/sse", header: http.Header{"Origin": {"null"}}, status: 403},
		"unknown host, no auth":    {p: open, path: "/poll?wait=0", host: "evil.test", status: 421},
		"host of --host":           {p: open, path: "/poll?wait=0", host: "hub.test:99", status: 200},
		"unknown host, admin":      {p: closed, path: "/stats", host: "evil.test", admin: true, status: 421},
		"stats on main listener":   {p: open, path: "/stats", status: 404},
		"unknown method":           {p: open, method: "PUT", path: "/publish/a", status: 405},
		"probe by HEAD":            {p: open, method: "HEAD", path: "/poll", status: 200},
		"no token, by HEAD":        {p: closed, method: "HEAD", path: "/poll", status: 401},
		"probe by OPTIONS":         {p: closed, method: "OPTIONS", path: "/", status: 204},
		"OPTIONS of a route":       {p: open, method: "OPTIONS", path: "/publish/a", status: 204},
		"trivium.js":               {p: closed, path: "/trivium.js", status: 200},
		"types of trivium.js":      {p: closed, path: "/trivium.d.ts", status: 200},
		"icon":                     {p: closed, path: "/favicon.ico", status: 204},
	} {
		t.Run(name, func(t *testing.T) {
			base := c.p.HTTP
			if c.admin {
				base = c.p.Admin
			}
			r, err := http.NewRequest(c.method, "http://"+base+c.path, nil)
			require.NoError(t, err)
			if c.host != "" {
				r.Host = c.host
			}
			for key, values := range c.header {
				r.Header[key] = values
			}
			response, err := c.p.Client.Do(r)
			require.NoError(t, err)
			defer response.Body.Close()
			require.Equal(t, c.status, response.StatusCode)
			if c.status >= 400 {
				require.Equal(t, problems.ContentType, response.Header.Get("Content-Type"))
			}
			challenged := c.status == 401 || c.status == 403
			require.Equal(t, challenged, response.Header.Get("WWW-Authenticate") != "")
		})
	}
	require.Zero(t, open.Stats().Events.Published)

	t.Run("a page receives the refusal as a WebSocket message", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), hubtest.Patience)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, "ws://"+closed.HTTP+"/ws", &websocket.DialOptions{
			HTTPClient: closed.Client,
			HTTPHeader: http.Header{"Origin": {"http://" + closed.HTTP}},
		})
		require.NoError(t, err)
		defer conn.CloseNow()
		require.Equal(t, 401, closed.Message(conn).Problem.Status)
		_, _, err = conn.Read(ctx)
		require.Equal(t, websocket.StatusCode(4401), websocket.CloseStatus(err))
	})
}

// TestPub publishes with the command trivium pub: one event, lines of standard input, and a datagram.
func TestPub(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	env := []string{"TRIVIUM_TOKEN=" + p.Token, "TRIVIUM_URL=http://" + p.HTTP}
	one, err := hubtest.Program(t, env, "pub", "--timeout", "3m", "--type", "ty", "--key", "k", "a.b", `{"n":1.50}`).Output()
	require.NoError(t, err)
	lines := hubtest.Program(t, env, "pub", "--timeout", "3m", "c", "-")
	lines.Stdin = strings.NewReader("{\"n\":2}\nplain\n")
	_, err = lines.Output()
	require.NoError(t, err)
	_, err = hubtest.Program(t, env, "pub", "--udp", p.UDP, "d", "3").Output()
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.Stats().Events.Published == 4 }, hubtest.Patience, 10*time.Millisecond)
	events := p.Poll("last=4").Events
	require.Len(t, events, 4)
	require.Equal(t, strings.TrimSpace(string(one)), events[0].ID.String())
	require.Equal(t, []string{"a.b", "ty", "k", `{"n":1.50}`}, []string{events[0].Topic, events[0].Type, events[0].Key, string(events[0].Data)})
	require.Equal(t, hub.JSON, events[1].Encoding)
	require.Equal(t, hub.Text, events[2].Encoding)
	require.Equal(t, "d", events[3].Topic)
}
