package docs

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// protocolPage is the page with the examples, which are fenced code blocks of the language http, websocket or udp. The
// info string after the opening fence contains "example=NAME" and these optional attributes:
//
//	hub=NAME    one of exampleHubs, which is started for this example; by default, one hub serves all examples in turn
//	then=NAME   one of exampleActions, carried out when the first message of the answer has arrived
//	token=none  the request has no token
const protocolPage = repository + "/docs/protocol.md"

// example is one of the code blocks, with its attributes.
type example struct {
	language, name, hub, then, token string
	text                             string
}

var exampleBlock = regexp.MustCompile("(?ms)^```(\\w+) (example=[^\n]*)\n(.*?)^```$")

func readExamples(t *testing.T) (examples []example) {
	t.Helper()
	page, err := os.ReadFile(protocolPage)
	require.NoError(t, err)
	for _, block := range exampleBlock.FindAllStringSubmatch(string(page), -1) {
		e := example{language: block[1], text: strings.TrimSpace(block[3])}
		for attribute := range strings.FieldsSeq(block[2]) {
			name, value, _ := strings.Cut(attribute, "=")
			switch name {
			case "example":
				e.name = value
			case "hub":
				e.hub = value
			case "then":
				e.then = value
			case "token":
				e.token = value
			default:
				t.Fatalf("%s: unknown attribute %q", e.name, name)
			}
		}
		examples = append(examples, e)
	}
	require.NotEmpty(t, examples)
	return examples
}

// TestProtocolExamples sends the requests of docs/protocol.md to a hub and compares its answers
// with the page.
func TestProtocolExamples(t *testing.T) {
	t.Parallel()
	var sharing []example
	for _, e := range readExamples(t) {
		if e.hub == "" {
			sharing = append(sharing, e)
			continue
		}
		if e.hub == "impatient" && testing.Short() {
			continue // the hub waits 30 s for the rest of a message
		}
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			startExampleHub(t, e.hub).run(t, e)
		})
	}
	t.Run("sharing", func(t *testing.T) {
		t.Parallel()
		h := startExampleHub(t, "")
		for _, e := range sharing {
			t.Run(e.name, func(t *testing.T) { h.run(t, e) })
		}
	})
}

func (h *exampleHub) run(t *testing.T, e example) {
	switch e.language {
	case "http":
		h.runHTTP(t, e)
	case "websocket":
		h.runWebSocket(t, e)
	case "udp":
		h.runUDP(t, e)
	default:
		t.Fatalf("unknown language %q", e.language)
	}
}

// varying lists patterns of values that differ in each run. Only the format of these values is compared.
var varying = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "SESSION"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`(retry: |Retry-After: |"retry_ms":|"heartbeat_ms":)\d+`), "${1}NUMBER"},
	{regexp.MustCompile(`[0-9a-f]{16}\.[\w-]{24}`), "TICKET"},
}

// requireSame requires that a string from the hub equals a string from docs/protocol.md, except for the
// values that differ in each run.
func (h *exampleHub) requireSame(t *testing.T, want, got string) {
	t.Helper()
	require.Equal(t, withNames(h.actual(want)), withNames(got), "the hub's answer equals the example: %s", got)
}

// withNames replaces each value in text that a pattern of varying matches by the pattern's name.
func withNames(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}

// exampleEpoch is the epoch of the cursors in the examples.
const exampleEpoch = "5e0f1a2b"

// actual replaces the epoch and the address in the text of an example by those of this hub.
func (h *exampleHub) actual(text string) string {
	return strings.NewReplacer(exampleEpoch, h.epoch, "$HUB", "http://"+h.HTTP).Replace(text)
}

// runHTTP sends the request of an example and compares the hub's answer with the rest of the example,
// which begins with the line "HTTP/1.1 …".
func (h *exampleHub) runHTTP(t *testing.T, e example) {
	request, answer, found := strings.Cut(e.text, "\n\nHTTP/1.1 ")
	require.True(t, found, "the example contains an answer")
	head, body, _ := strings.Cut(h.actual(request), "\n\n")
	answer = "HTTP/1.1 " + answer

	head += "\nHost: " + h.HTTP
	if body != "" || strings.HasPrefix(head, "POST") {
		head += fmt.Sprintf("\nContent-Length: %d", len(body))
	}
	if e.token != "none" && h.Token != "" && !strings.Contains(head, "Authorization:") {
		head += "\nAuthorization: Bearer " + h.Token
	}
	conn, err := net.Dial("tcp", h.HTTP)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(hubtest.Patience)))
	_, err = io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body)
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err) // the body stays open, because Close would read the stream to its end

	wantHead, wantBody, _ := strings.Cut(answer, "\n\n")
	got := "HTTP/1.1 " + response.Status
	for line := range strings.SplitSeq(wantHead, "\n") {
		if name, _, isField := strings.Cut(line, ": "); isField {
			value := response.Header.Get(name)
			if name == "Connection" && response.Close { // ReadResponse moves this header to response.Close
				value = "close"
			}
			got += "\n" + name + ": " + value
		}
	}
	h.requireSame(t, wantHead, got)
	h.requireSame(t, wantBody, h.readBody(t, response, e.then, strings.Count(wantBody, "\n")+1))
}

// readBody returns the body of a response. It reads an event stream only until it has read the given number
// of lines. If an action is given, readBody carries it out after the first blank line.
func (h *exampleHub) readBody(t *testing.T, response *http.Response, action string, count int) string {
	var body strings.Builder
	lines := bufio.NewReader(response.Body)
	isStream := strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream")
	for n := 1; n <= count || !isStream; n++ {
		line, err := lines.ReadString('\n')
		body.WriteString(line)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, body.String())
		if line == "\n" && action != "" {
			h.do(t, action)
			action = ""
		}
	}
	return strings.TrimSpace(body.String())
}

// runWebSocket runs a WebSocket example. It sends the lines that begin with "> " (first the request and its headers)
// and requires that the hub sends the lines that begin with "< ".
func (h *exampleHub) runWebSocket(t *testing.T, e example) {
	lines := strings.Split(h.actual(e.text), "\n")
	path := strings.TrimPrefix(lines[0], "> GET ")
	header := http.Header{}
	for lines = lines[1:]; strings.HasPrefix(lines[0], "> "); lines = lines[1:] {
		name, value, _ := strings.Cut(lines[0][2:], ": ")
		header.Set(name, value)
	}
	if h.Token != "" {
		header.Set("Authorization", "Bearer "+h.Token)
	}
	ctx, cancel := context.WithTimeout(context.Background(), hubtest.Patience)
	defer cancel()
	var raw net.Conn // TCP connection of the WebSocket, to send frames that the library cannot send
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		raw, err = new(net.Dialer).DialContext(ctx, network, address)
		return raw, err
	}}
	conn, _, err := websocket.Dial(ctx, "ws://"+h.HTTP+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header, Subprotocols: []string{"trivium.v1"},
	})
	require.NoError(t, err)
	defer func() { _ = conn.CloseNow() }()
	sent := "" // the last command
	for _, line := range lines {
		switch text := line[2:]; {
		case strings.HasPrefix(line, "< "):
			got := received(ctx, conn)
			// The answer to a ping contains the newest position. This position may not include the last
			// published event yet, so the ping is repeated.
			for strings.Contains(sent, `"op":"ping"`) && withNames(text) != withNames(got) && ctx.Err() == nil {
				time.Sleep(20 * time.Millisecond)
				require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(sent)))
				got = received(ctx, conn)
			}
			h.requireSame(t, text, got)
			if e.then != "" {
				h.do(t, e.then)
				e.then = ""
			}
		case strings.HasPrefix(text, "close "):
			h.sendBytes(t, raw, "88 82 00 00 00 00 03 e8") // code 1000
		case strings.HasPrefix(text, "bytes "):
			h.sendBytes(t, raw, strings.TrimPrefix(text, "bytes "))
		default:
			sent = text
			require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(text)))
		}
	}
}

// received returns the next message, or "close CODE REASON" if the hub has closed the WebSocket.
func received(ctx context.Context, conn *websocket.Conn) string {
	_, message, err := conn.Read(ctx)
	var end websocket.CloseError
	switch {
	case errors.As(err, &end):
		return strings.TrimSpace(fmt.Sprintf("close %d %s", end.Code, end.Reason))
	case err != nil:
		return err.Error()
	}
	return string(message)
}

func (h *exampleHub) sendBytes(t *testing.T, conn net.Conn, text string) {
	frame, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	require.NoError(t, err)
	_, err = conn.Write(frame)
	require.NoError(t, err)
}

// runUDP sends the lines that begin with "> " as one datagram, and compares the published events
// with the lines that begin with "< ".
func (h *exampleHub) runUDP(t *testing.T, e example) {
	var datagram, want []string
	for line := range strings.SplitSeq(h.actual(e.text), "\n") {
		if text, isSent := strings.CutPrefix(line, "> "); isSent {
			datagram = append(datagram, text)
		} else {
			want = append(want, strings.TrimPrefix(line, "< "))
		}
	}
	cursor := h.Poll("wait=0").Cursor
	h.Datagram(strings.Join(datagram, "\n"))
	var got []string
	for len(got) < len(want) {
		status, text := h.Request(http.MethodGet, "http://"+h.HTTP+"/poll?cursor="+cursor, "", "")
		require.Equal(t, http.StatusOK, status, text)
		var answer struct {
			Cursor string
			Events []json.RawMessage
		}
		require.NoError(t, json.Unmarshal([]byte(text), &answer))
		for _, event := range answer.Events {
			got = append(got, string(event))
		}
		cursor = answer.Cursor
	}
	h.requireSame(t, strings.Join(want, "\n"), strings.Join(got, "\n"))
}
