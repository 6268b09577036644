package bench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// event returns the data of one event. The data has more than 125 bytes, so that the header of its
// WebSocket frame contains a 16-bit length.
func event(seq uint32) string {
	p := make([]byte, 150)
	stamp{seq: seq}.put(p)
	return string(p)
}

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

func wsFrame(first byte, body string) string {
	switch n := len(body); {
	case n < 126:
		return string([]byte{first, byte(n)}) + body
	case n < 1<<16:
		return string([]byte{first, 126, byte(n >> 8), byte(n)}) + body
	default:
		return string([]byte{first, 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + body
	}
}

func envelope(seq uint32) string {
	return fmt.Sprintf(`{"id":"00c0ffee-%d","topic":"bench","time":"2026-01-01T00:00:00Z","data":%s}`, seq+1, event(seq))
}

func pollAnswer(chunked bool, body string) string {
	if chunked {
		half := len(body) / 2
		return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(body[:half]) + chunk(body[half:]) + "0\r\n\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// streams returns test cases by name. The field text is the bytes that a subscriber receives, and want describes the
// messages in them.
func streams() map[string]struct{ transport, text, want string } {
	hello := "event: trivium.open\nid: 00c0ffee-0\ndata: \n\n"
	block := func(seq uint32) string {
		return fmt.Sprintf("id: 00c0ffee-%d\ntopic: bench\ndata: %s\n\n", seq+1, event(seq))
	}
	heartbeat := "event: trivium.heartbeat\nid: 00c0ffee-2\ndata: \n\n"
	gap := "event: trivium.gap\nid: 00c0ffee-2\ndata: {}\n\n"
	bye := "event: trivium.goaway\ndata: {}\n\n"
	openAndTwo := "open 00c0ffee-0, event 00c0ffee-1 0, event 00c0ffee-2 1, gap, end"
	return map[string]struct{ transport, text, want string }{
		"SSE in chunks": {SSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			chunk("retry: 2000\n"+hello) + chunk(block(0)+block(1)) + chunk(heartbeat) + chunk(gap) + chunk(bye), openAndTwo},
		"SSE in one chunk per event": {SSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			chunk(hello[:9]) + "00A;x=y\r\n" + hello[9:19] + "\r\n" + chunk(hello[19:]+block(0)[:50]) + chunk(block(0)[50:]+block(1)+gap+bye), openAndTwo},
		"SSE without chunks": {SSE, "HTTP/1.1 200 OK\r\n\r\n" + hello + block(0) + heartbeat + block(1) + gap + bye, openAndTwo},
		"WebSocket": {WebSocket, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n" +
			wsFrame(opText, `{"op":"hello","id":"00c0ffee-0"}`) + wsFrame(opText, envelope(0)) + wsFrame(opPing, "abc") +
			wsFrame(opText, envelope(1)) + wsFrame(opText, `{"op":"heartbeat","id":"00c0ffee-2"}`) +
			wsFrame(opText, `{"op":"gap"}`) + wsFrame(opClose, "\x03\xe9"),
			"open 00c0ffee-0, event 00c0ffee-1 0, ping abc, event 00c0ffee-2 1, gap, end"},
		"long-poll": {LongPoll, pollAnswer(false, `{"cursor":"00c0ffee-0","events":[]}`) +
			pollAnswer(false, `{"cursor":"00c0ffee-2","events":[`+envelope(0)+","+envelope(1)+`],"gap":{"reason":"expired"}}`),
			"answer 00c0ffee-0, gap, event  0, event  1, answer 00c0ffee-2"},
		"HTTP/2": {HTTP2, h2Text(h2Settings, 0, 0, "") + h2Text(h2Headers, h2EndHeaders, 1, "\x88") + h2Text(h2Data, 0, 1, hello+block(0)) +
			h2Text(h2Ping, 0, 0, "12345678") + h2Text(h2Settings, h2Ack, 0, "") + h2Text(h2WindowUpdate, 0, 0, "\x00\x00\x00\x01") +
			h2Text(h2Data, 0, 1, block(1)) + h2Text(h2Data, h2EndStream, 1, ""),
			"reply 4 1, open 00c0ffee-0, event 00c0ffee-1 0, reply 6 1, event 00c0ffee-2 1, end"},
		"long-poll in chunks": {LongPoll, pollAnswer(true, `{"cursor":"00c0ffee-0","events":[]}`) +
			pollAnswer(true, `{"cursor":"00c0ffee-2","events":[`+envelope(0)+","+envelope(1)+`]}`),
			"answer 00c0ffee-0, event  0, event  1, answer 00c0ffee-2"},
	}
}

func h2Text(kind, flags byte, stream uint32, payload string) string {
	return string(h2Frame(nil, kind, flags, stream, []byte(payload)))
}

// decoded passes the pieces to a decoder one after the other, and returns a description of the decoded
// messages.
func decoded(t *testing.T, transport string, pieces ...string) string {
	t.Helper()
	var said []string
	d := newDecoder(transport)
	for _, piece := range pieces {
		err := d.feed([]byte(piece), func(m message) {
			switch m.kind {
			case kindOpen:
				said = append(said, "open "+string(m.id))
			case kindEvent:
				s, ok := parseStamp(m.data)
				require.True(t, ok, "%q", m.data)
				said = append(said, fmt.Sprintf("event %s %d", m.id, s.seq))
			case kindAnswer:
				said = append(said, "answer "+string(m.id))
			case kindGap:
				said = append(said, "gap")
			case kindEnd:
				said = append(said, "end")
			case kindReply:
				said = append(said, fmt.Sprintf("reply %d %d", m.data[3], m.data[4]))
			case kindPing:
				said = append(said, "ping "+string(m.data))
			}
		})
		require.NoError(t, err)
	}
	return strings.Join(said, ", ")
}

// TestDecodersAcceptAnySplit passes each stream to its decoder whole, in single bytes, and in three
// pieces that end at many different positions. The decoded messages must always be the same.
func TestDecodersAcceptAnySplit(t *testing.T) {
	for name, s := range streams() {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, s.want, decoded(t, s.transport, s.text))
			require.Equal(t, s.want, decoded(t, s.transport, strings.Split(s.text, "")...))
			for i := range s.text {
				for j := i; j < len(s.text); j += 7 {
					if got := decoded(t, s.transport, s.text[:i], s.text[i:j], s.text[j:]); got != s.want {
						require.Equal(t, s.want, got, "messages of the stream split at %d and %d", i, j)
					}
				}
			}
		})
	}
}

func TestLongFrame(t *testing.T) {
	body := `{"op":"error","detail":"` + strings.Repeat("x", 1<<16) + `"}`
	n, err := frame([]byte(wsFrame(opText, body)), func(m message) { require.Equal(t, kindEnd, m.kind) })
	require.NoError(t, err)
	require.Equal(t, 10+len(body), n)
}

// TestDecodersRejectInvalidInput checks that the decoders return an error for data that a correct hub
// does not send.
func TestDecodersRejectInvalidInput(t *testing.T) {
	const sse = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	const ws = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
	for name, s := range map[string]struct{ transport, text string }{
		"not HTTP":                {SSE, "SSH-2.0\r\n\r\n"},
		"an endless header":       {SSE, "HTTP/1.1 200 OK\r\n" + strings.Repeat("x", maxHead)},
		"a refused stream":        {SSE, "HTTP/1.1 503 Service Unavailable\r\n\r\n"},
		"a refused upgrade":       {WebSocket, "HTTP/1.1 200 OK\r\n\r\n"},
		"a refused poll":          {LongPoll, "HTTP/1.1 401 Unauthorized\r\n\r\n{}"},
		"a bad chunk size":        {SSE, sse + "xyz"},
		"an endless chunk":        {SSE, sse + "fffffffff"},
		"a bad end of a chunk":    {SSE, sse + "1\r\nabc"},
		"a bad trailer":           {SSE, sse + "0\r\nabc"},
		"a masked frame":          {WebSocket, ws + "\x81\x80"},
		"part of a message":       {WebSocket, ws + "\x01\x00"},
		"a binary message":        {WebSocket, ws + "\x82\x00"},
		"a poll without a length": {LongPoll, "HTTP/1.1 200 OK\r\n\r\n{}"},
		"a bad length":            {LongPoll, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"},
	} {
		require.Error(t, newDecoder(s.transport).feed([]byte(s.text), func(message) {}), name)
	}
}

func TestMedian(t *testing.T) {
	require.Zero(t, median(nil))
	require.Equal(t, 2.0, median([]float64{9, 1, 2}))
	require.Equal(t, 2.5, median([]float64{9, 3, 1, 2}))
}
