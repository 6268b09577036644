package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// logLine is a line of the connection log.
type logLine struct {
	Msg, Session, Subject, Address, Transport, Reason string
	Duration                                          int64
	Events, Bytes                                     int
	Connections                                       int
}

// logged waits until the log has a line that fits accepts, and returns the line.
func (p *process) logged(fits func(logLine) bool) (found logLine) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		for line := range bytes.Lines([]byte(p.log())) {
			var l logLine
			if json.Unmarshal(line, &l) == nil && fits(l) {
				found = l
				return true
			}
		}
		return false
	}, patience, 20*time.Millisecond, "%s", p.log)
	return found
}

// closed waits for the log line that a connection of the transport was closed for the reason.
func (p *process) closed(transport, reason string) logLine {
	p.t.Helper()
	return p.logged(func(l logLine) bool {
		return l.Msg == "connection closed" && l.Transport == transport && l.Reason == reason
	})
}

// TestLogConnections checks the log lines of opened connections, and the reasons in the lines of
// closed ones.
func TestLogConnections(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	code, alice, errs := runToken("alice", "--tokens", tokens, "--subscribe", ">", "--publish", ">")
	require.Zero(t, code, errs)
	p := serve(t, program(t, nil, append(anyPorts, "--tokens", tokens, "--log-connections", "--drain", "100ms")...))
	p.token = alice[:len(alice)-1]

	socket := p.websocket("topic=a")
	opened := p.logged(func(l logLine) bool { return l.Msg == "connection opened" && l.Transport == "websocket" })
	require.Equal(t, []any{"alice", "127.0.0.1", 36}, []any{opened.Subject, opened.Address, len(opened.Session)})
	p.publish("application/json", `[{"topic":"a","data":1},{"topic":"a","data":2}]`)
	for range 2 {
		p.message(socket)
	}
	require.NoError(t, socket.Close(websocket.StatusNormalClosure, ""))
	ended := p.closed("websocket", "client")
	require.Equal(t, opened.Session, ended.Session)
	require.Equal(t, 2, ended.Events)
	require.Greater(t, ended.Bytes, 100)
	require.GreaterOrEqual(t, ended.Duration, int64(0))

	socket = p.websocket("topic=a")
	require.NoError(t, socket.Write(t.Context(), websocket.MessageBinary, []byte("binary is refused")))
	p.closed("websocket", "refused")

	p.poll("last=1&wait=0")
	require.Equal(t, 1, p.closed("longpoll", "answered").Events)

	p.sse("topic=a")
	require.NoError(t, os.WriteFile(tokens, []byte("tokens: []\n"), 0o600))
	require.Equal(t, "alice", p.closed("sse", "expelled").Subject)
	withdrawn := p.logged(func(l logLine) bool { return l.Msg == "a token was withdrawn; its connections are closed" })
	require.Equal(t, []any{"alice", 1}, []any{withdrawn.Subject, withdrawn.Connections})
	require.NotContains(t, p.log(), p.token)
}

// TestLogConnectionsAtDrain checks the reason in the log lines of connections that the hub closes
// at shutdown, and that connections are not logged by default.
func TestLogConnectionsAtDrain(t *testing.T) {
	t.Parallel()
	p := serve(t, program(t, nil, append(anyPorts, "--log-connections", "--drain", "1s")...))
	p.sse("topic=a")
	p.signal(syscall.SIGTERM)
	ended := p.logged(func(l logLine) bool { return l.Msg == "connection closed" })
	require.Equal(t, "default", ended.Subject)
	require.Contains(t, []string{"drain", "cut"}, ended.Reason) // "cut" if the machine is slow

	quiet := serve(t, program(t, nil, append(anyPorts, "--drain", "1s")...))
	quiet.sse("topic=a")
	quiet.signal(syscall.SIGTERM)
	quiet.wait()
	require.NotContains(t, quiet.log(), "connection closed")
}
