package hostile

import (
	"bufio"
	octets "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/transports/problems"
)

// request is a request of a hostile client.
type request struct {
	hub    *hubtest.Process // nil: testbed.main
	admin  bool             // send the request to the admin listener
	line   string           // method and target, without the version
	host   string           // "": the address of the hub
	token  string           // token in Authorization; "": none
	header []string         // further header lines
	body   string
}

// pollNow is a poll that the hub answers at once. Attacks use it to see whether the hub accepts a token.
const pollNow = "GET /poll?wait=0"

// exchange holds the answer to a request, and the connection of the request. The status is 200 if a stream or
// WebSocket was accepted. If the hub has accepted it but then refused the request by a message, status is the
// status in this message.
type exchange struct {
	status int
	code   int // close code of a WebSocket; 0: it was not closed
	header http.Header
	body   string

	conn   net.Conn
	reader *bufio.Reader
	stream *decode.SSEDecoder // decodes the answer of /sse
}

// do sends a request on a new connection, reads the answer and closes the connection. If the answer is an
// event stream or a WebSocket, do reads only the first message.
func (f *testbed) do(t *testing.T, r request) *exchange {
	t.Helper()
	x := f.start(t, r)
	x.conn.Close()
	return x
}

// start is like do, but leaves the connection open.
func (f *testbed) start(t *testing.T, r request) *exchange {
	t.Helper()
	p := r.hub
	if p == nil {
		p = f.main
	}
	address := p.HTTP
	if r.admin {
		address = p.Admin
	}
	if r.host == "" {
		r.host = address
	}
	x := f.send(t, address, r.text())
	f.readAnswer(t, x, r)
	return x
}

// readAnswer reads the answer to a request. If the answer is an event stream or a WebSocket, readAnswer reads
// only the first message.
func (f *testbed) readAnswer(t *testing.T, x *exchange, r request) {
	t.Helper()
	method, _, _ := strings.Cut(r.line, " ")
	response, err := http.ReadResponse(x.reader, &http.Request{Method: method})
	require.NoError(t, err, r.line)
	x.status, x.header = response.StatusCode, response.Header
	switch {
	case response.StatusCode == http.StatusSwitchingProtocols:
		f.readHello(t, x)
	case response.StatusCode == http.StatusOK && strings.HasPrefix(x.header.Get("Content-Type"), "text/event-stream") && method == http.MethodGet:
		x.stream = decode.NewSSEDecoder(response.Body)
		e, err := x.stream.Next()
		require.NoError(t, err)
		if e.Type == "trivium.error" {
			x.status, x.body = problemStatus(t, e.Data), e.Data
		}
	default:
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err, r.line)
		x.body = string(body)
	}
	if x.status >= 400 {
		f.refused(fmt.Sprint(x.header, x.body))
	}
}

func (f *testbed) refused(answer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append(f.answers, answer)
}

// send opens a connection and writes text in another goroutine. The caller can read the answer in the
// meantime, because the hub may answer without reading all of text.
func (f *testbed) send(t *testing.T, address, text string) *exchange {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(hubtest.Patience)))
	go func() { _, _ = io.WriteString(conn, text) }()
	return &exchange{conn: conn, reader: bufio.NewReader(conn)}
}

func (r *request) text() string {
	header := append([]string{"Host: " + r.host}, r.header...)
	if strings.HasPrefix(r.line, "GET /ws") {
		header = append(header, upgrade...)
	}
	if r.token != "" {
		header = append(header, "Authorization: Bearer "+r.token)
	}
	if r.body != "" {
		header = append(header, fmt.Sprintf("Content-Length: %d", len(r.body)))
		if !strings.Contains(strings.Join(header, "\n"), "Content-Type:") {
			header = append(header, "Content-Type: application/json")
		}
	}
	return r.line + " HTTP/1.1\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + r.body
}

var upgrade = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}

// readHello reads the first message of a WebSocket: the hello, or the reason for a refusal.
func (f *testbed) readHello(t *testing.T, x *exchange) {
	t.Helper()
	x.status = http.StatusOK
	m, _, err := x.message()
	require.NoError(t, err)
	if m.Op == decode.OpHello {
		return
	}
	require.Equal(t, decode.OpError, m.Op)
	x.status, x.body = m.Problem.Status, m.Problem.Error()
	_, x.code, err = x.message()
	require.NoError(t, err)
}

// message reads a message from a WebSocket. If the WebSocket is closed instead, message returns the
// close code.
func (x *exchange) message() (m decode.Message, code int, err error) {
	opcode, payload, err := x.frame()
	switch {
	case err != nil:
		return m, 0, err
	case opcode == opClose && len(payload) >= 2:
		return m, int(octets.BigEndian.Uint16(payload)), nil
	case opcode == opText:
		m, err = decode.DecodeMessage(payload)
		return m, 0, err
	}
	return m, 0, fmt.Errorf("unexpected frame with opcode %d: %q", opcode, payload)
}

// These are opcodes and bits of WebSocket frames (RFC 6455, section 5.2).
const (
	opContinuation = 0
	opText         = 1
	opClose        = 8
	bitFin         = 0x80
	bitDeflated    = 0x40
)

// frame reads a frame that the hub sent.
func (x *exchange) frame() (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(x.reader, head[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1])
	if head[1] >= 126 {
		size := map[byte]int{126: 2, 127: 8}[head[1]]
		extended := make([]byte, 8)
		if _, err := io.ReadFull(x.reader, extended[8-size:]); err != nil {
			return 0, nil, err
		}
		length = octets.BigEndian.Uint64(extended)
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(x.reader, payload)
	return head[0] & 0x0f, payload, err
}

// clientFrame returns a frame with a masking key of zeros, which leaves the payload unchanged.
func clientFrame(first byte, payload []byte) []byte {
	frame := []byte{first, 0x80 | byte(len(payload))}
	switch {
	case len(payload) > 0xffff:
		frame[1] = 0x80 | 127
		frame = octets.BigEndian.AppendUint64(frame, uint64(len(payload)))
	case len(payload) > 125:
		frame[1] = 0x80 | 126
		frame = octets.BigEndian.AppendUint16(frame, uint16(len(payload)))
	}
	return append(append(frame, 0, 0, 0, 0), payload...)
}

// command sends a command and returns the answer. It skips events that arrive before the answer.
func (f *testbed) command(t *testing.T, x *exchange, command string) decode.Message {
	t.Helper()
	_, err := x.conn.Write(clientFrame(bitFin|opText, []byte(command)))
	require.NoError(t, err)
	return f.answerTo(t, x)
}

// answerTo returns the next answer to a command. It skips events that arrive before the answer.
func (f *testbed) answerTo(t *testing.T, x *exchange) decode.Message {
	t.Helper()
	for {
		m, code, err := x.message()
		require.NoError(t, err)
		require.Zero(t, code)
		switch m.Op {
		case decode.OpError:
			f.refused(m.Problem.Error())
			return m
		case decode.OpAck:
			return m
		}
	}
}

func problemStatus(t *testing.T, text string) int {
	t.Helper()
	var p problems.Problem
	require.NoError(t, json.Unmarshal([]byte(text), &p))
	return p.Status
}

// adminPage returns a page of the admin listener. If v is not nil, it also decodes the page into v.
func (f *testbed) adminPage(t *testing.T, p *hubtest.Process, page string, v any) string {
	t.Helper()
	x := f.do(t, request{hub: p, admin: true, line: "GET " + page, header: []string{"Connection: close"}})
	require.Equal(t, http.StatusOK, x.status, page)
	if v != nil {
		require.NoError(t, json.Unmarshal([]byte(x.body), v))
	}
	return x.body
}

// metric returns the value of a metric of the hub.
func (f *testbed) metric(t *testing.T, p *hubtest.Process, metric string) (n float64) {
	t.Helper()
	_, rest, found := strings.Cut("\n"+f.adminPage(t, p, "/metrics", nil), "\n"+metric+" ")
	require.True(t, found, metric)
	_, err := fmt.Sscan(rest, &n)
	require.NoError(t, err)
	return n
}
