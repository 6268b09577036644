package hubs

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// logLine is a line of the hub's log, with the members that lines about connections contain.
type logLine struct {
	Msg, Session, Subject, Address, Transport, Reason string
	Duration                                          int64
	Events, Bytes                                     int
	Connections, Cut                                  int
}

// loggedLine waits until the log contains a line for which fits returns true, and returns that
// line.
func loggedLine(p *hubtest.Process, fits func(logLine) bool) (found logLine) {
	p.T.Helper()
	require.Eventually(p.T, func() bool {
		for line := range bytes.Lines([]byte(p.Log())) {
			var l logLine
			if json.Unmarshal(line, &l) == nil && fits(l) {
				found = l
				return true
			}
		}
		return false
	}, hubtest.Patience, 20*time.Millisecond, "%s", p.Log)
	return found
}

// closedLine waits for the log line of a connection that used the given transport and was closed for
// the given reason.
func closedLine(p *hubtest.Process, transport, reason string) logLine {
	p.T.Helper()
	return loggedLine(p, func(l logLine) bool {
		return l.Msg == "connection closed" && l.Transport == transport && l.Reason == reason
	})
}

// TestLogConnections checks that the hub logs each opened connection, and each closed connection with
// the reason.
func TestLogConnections(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	alice := hubtest.NewToken(t, "alice", "--tokens", tokens, "--subscribe", ">", "--publish", ">")
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--tokens", tokens, "--log-connections", "--drain", "100ms")...))
	p.Token = alice

	socket := p.WebSocket("topic=a")
	opened := loggedLine(p, func(l logLine) bool { return l.Msg == "connection opened" && l.Transport == "websocket" })
	require.Equal(t, []any{"alice", "127.0.0.1", 36}, []any{opened.Subject, opened.Address, len(opened.Session)})
	p.Publish("application/json", `[{"topic":"a","data":1},{"topic":"a","data":2}]`)
	for range 2 {
		p.Message(socket)
	}
	require.NoError(t, socket.Close(websocket.StatusNormalClosure, ""))
	ended := closedLine(p, "websocket", "client")
	require.Equal(t, opened.Session, ended.Session)
	require.Equal(t, 2, ended.Events)
	require.Greater(t, ended.Bytes, 100)
	require.GreaterOrEqual(t, ended.Duration, int64(0))

	socket = p.WebSocket("topic=a")
	require.NoError(t, socket.Write(t.Context(), websocket.MessageBinary, []byte("binary is refused")))
	_, _, err := socket.Read(t.Context()) // also replies to the hub's close frame, because the hub waits for the reply
	require.Equal(t, websocket.StatusUnsupportedData, websocket.CloseStatus(err))
	closedLine(p, "websocket", "refused")

	p.Poll("last=1&wait=0")
	require.Equal(t, 1, closedLine(p, "longpoll", "answered").Events)

	p.SSE("topic=a")
	hubtest.ReplaceFile(t, tokens, "tokens: []\n")
	require.Equal(t, "alice", closedLine(p, "sse", "expelled").Subject)
	withdrawn := loggedLine(p, func(l logLine) bool { return l.Msg == "a token was withdrawn; its connections are closed" })
	require.Equal(t, []any{"alice", 1}, []any{withdrawn.Subject, withdrawn.Connections})
	require.NotContains(t, p.Log(), p.Token)
}

// TestLogConnectionsAtDrain checks the reason in the log line of a connection that the hub closes during its
// drain. It also checks that connections are not logged by default.
func TestLogConnectionsAtDrain(t *testing.T) {
	t.Parallel()
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--log-connections", "--drain", "1s")...))
	p.SSE("topic=a")
	p.Signal(syscall.SIGTERM)
	ended := loggedLine(p, func(l logLine) bool { return l.Msg == "connection closed" })
	require.Equal(t, "default", ended.Subject)
	require.Contains(t, []string{"drain", "cut"}, ended.Reason) // "cut" if the machine is slow

	quiet := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--drain", "1s")...))
	quiet.SSE("topic=a")
	quiet.Signal(syscall.SIGTERM)
	quiet.Wait()
	require.NotContains(t, quiet.Log(), "connection closed")
}
