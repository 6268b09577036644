package hostile

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
)

var frameAttacks = []attack{
	{"a WebSocket message in fragments of one byte each", byteFragments},
	{"endless empty WebSocket fragments, and endless small messages", endlessFrames},
	{"WebSocket frames that RFC 6455 forbids, or whose header announces 2^62 bytes", brokenFrames},
}

const (
	opBinary = 2
	opPing   = 9
	// maxFragments is the default of --max-message-fragments.
	maxFragments = 1024
)

// fragmented encodes a message in frames of one byte each.
func fragmented(message string) []byte {
	var all bytes.Buffer
	for i := range len(message) {
		first := byte(opContinuation)
		if i == 0 {
			first = opText
		}
		if i == len(message)-1 {
			first |= bitFin
		}
		all.Write(clientFrame(first, []byte(message[i:i+1])))
	}
	return all.Bytes()
}

// closedWith sends bytes on a new WebSocket, and requires that the hub closes the WebSocket with the given close code.
func (f *testbed) closedWith(t *testing.T, code int, sent []byte) {
	t.Helper()
	x := f.start(t, request{hub: f.lenient, line: "GET /ws?subscribe=none"})
	require.Equal(t, http.StatusOK, x.status)
	go func() { _, _ = x.conn.Write(sent) }() // in a goroutine, because the hub may close before it has read all bytes
	for {
		m, got, err := x.message()
		require.NoError(t, err)
		if got != 0 {
			require.Equal(t, code, got)
			break
		}
		require.Equal(t, decode.OpError, m.Op, "the answer to the refused message is an error")
	}
	_, _ = x.conn.Write(clientFrame(bitFin|opClose, nil)) // the hub may have closed the connection already
	_, _ = io.Copy(io.Discard, x.reader)                  // waits until the hub closes the connection
}

func byteFragments(t *testing.T, f *testbed) {
	ping := `{"op":"ping"}`
	x := f.start(t, request{hub: f.lenient, line: "GET /ws?subscribe=none"})
	_, err := x.conn.Write(fragmented(ping + strings.Repeat(" ", maxFragments-len(ping))))
	require.NoError(t, err)
	m, _, err := x.message()
	require.NoError(t, err)
	require.Equal(t, decode.OpAck, m.Op, "a message with the maximum number of fragments is accepted")

	counter := `trivium_websocket_refused_total{reason="fragments"}`
	before := f.metric(t, f.lenient, counter)
	publish := `{"op":"publish","topic":"fragments","data":"` + breach + `"}`
	f.closedWith(t, 1008, fragmented(publish+strings.Repeat(" ", maxFragments+1-len(publish))))
	f.closedWith(t, 1008, fragmented(publish+strings.Repeat(" ", 60<<10)))
	require.GreaterOrEqual(t, f.metric(t, f.lenient, counter), before+2, "at least these two refusals are counted")
}

func endlessFrames(t *testing.T, f *testbed) {
	empty := bytes.Repeat(clientFrame(opContinuation, nil), 100_000)
	f.closedWith(t, 1008, append(clientFrame(opText, nil), empty...))
	f.closedWith(t, 1008, append(clientFrame(opText, []byte(`{"op"`)), empty...))
	f.closedWith(t, 1008, bytes.Repeat(clientFrame(bitFin|opText, nil), 10_000))
	f.closedWith(t, 1008, bytes.Repeat(clientFrame(bitFin|opText, []byte(`{"op":"x"}`)), 10_000))
	// Pings are also limited, because the hub answers each of them.
	x := f.start(t, request{hub: f.lenient, line: "GET /ws?subscribe=none"})
	go func() { _, _ = x.conn.Write(bytes.Repeat(clientFrame(bitFin|opPing, []byte("ping")), 10_000)) }()
	pongs := 0
	for {
		opcode, payload, err := x.frame()
		require.NoError(t, err)
		if opcode == opClose {
			require.Equal(t, []byte{1008 >> 8, 1008 & 0xff}, payload[:2])
			break
		}
		pongs++
	}
	require.Less(t, pongs, 1000)
}

func brokenFrames(t *testing.T, f *testbed) {
	text := clientFrame(bitFin|opText, []byte(`{"op":"ping"}`))
	unmasked := append([]byte{bitFin | opText, 2}, "{}"...)
	for _, sent := range [][]byte{
		unmasked, clientFrame(bitFin|0x20|opText, []byte("{}")), clientFrame(bitFin|3, nil), clientFrame(bitFin|0xb, nil), clientFrame(opPing, nil),
		clientFrame(bitFin|opContinuation, nil), append(clientFrame(opText, nil), text...), clientFrame(bitFin|opPing, make([]byte, 126)),
		{bitFin | opText, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 1}, {bitFin | opText, 0x80 | 126, 0, 1}, clientFrame(bitFin|opClose, []byte{3}),
	} {
		f.closedWith(t, 1002, sent)
	}
	f.closedWith(t, 1003, clientFrame(bitFin|opBinary, []byte("{}")))
	f.closedWith(t, 1007, clientFrame(bitFin|opText, []byte("{\"op\":\"\xff\"}")))
	f.closedWith(t, 1009, []byte{bitFin | opText, 0x80 | 127, 0x40, 0, 0, 0, 0, 0, 0, 0})
	f.closedWith(t, 1009, append(clientFrame(opText, make([]byte, 60<<10)), clientFrame(opContinuation, make([]byte, 5<<10))...))
}
