package clienttest

import (
	"context"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// dial opens a WebSocket to a peer. If the peer sends a first message, dial returns it.
func dial(t *testing.T, e *env, peer string, protocols ...string) (client.Socket, string) {
	t.Helper()
	ctx := withPatience(t)
	s, err := e.platform.Dial(ctx, e.named(t, peer), protocols)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close(1000, "") })
	if peer != "ws" {
		return s, ""
	}
	first, err := s.Read(ctx)
	require.NoError(t, err)
	return s, string(first)
}

func write(t *testing.T, s client.Socket, message string) {
	t.Helper()
	require.NoError(t, s.Write(withPatience(t), []byte(message)))
}

func testSocket(t *testing.T, e *env) {
	ctx := withPatience(t)
	s, offered := dial(t, e, "ws", "trivium.v1", "trivium.bearer.x")
	require.Equal(t, "trivium.v1, trivium.bearer.x", strings.ReplaceAll(offered, ",t", ", t"))
	for _, message := range []string{"{}", "", "grüße \U0001F600 \u2028\x00", strings.Repeat("big ", 1<<18)} {
		write(t, s, message)
		back, err := s.Read(ctx)
		require.NoError(t, err)
		require.True(t, message == string(back), "the echo of %d bytes equals the message", len(back))
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err := s.Read(short) // a native WebSocket fails when the context of a read ends
	require.Error(t, err)
	require.NoError(t, ctx.Err())
}

// testSocketCloses checks that the messages before a close frame arrive, and that the other side
// receives the code and the reason.
func testSocketCloses(t *testing.T, e *env) {
	ctx := withPatience(t)
	for _, end := range []client.CloseError{{Code: 4401, Reason: "the token has ended"}, {Code: 1013}, {Code: 1000, Reason: "é"}} {
		s, _ := dial(t, e, "ws")
		write(t, s, "send 300")
		write(t, s, "close "+strconv.Itoa(end.Code)+" "+end.Reason)
		for i := range 300 {
			message, err := s.Read(ctx)
			require.NoError(t, err, "message %d", i)
			require.Equal(t, strconv.Itoa(i), string(message))
		}
		for range 2 { // the second read must return the same error
			_, err := s.Read(ctx)
			var got *client.CloseError
			require.ErrorAs(t, err, &got)
			require.Equal(t, end, *got)
		}
		require.Equal(t, "closed", e.news(t))
		require.Eventually(t, func() bool { return s.Write(ctx, []byte("late")) != nil }, patience, time.Millisecond)
	}
	for _, end := range []struct {
		code         int
		reason, want string
	}{{1000, "done", "1000 done"}, {4408, strings.Repeat("é", 100), "4408 " + strings.Repeat("é", 61)}} {
		s, _ := dial(t, e, "ws")
		s.Close(end.code, end.reason)
		require.Equal(t, end.want, e.news(t))
		_, err := s.Read(ctx)
		require.Error(t, err)
		s.Close(1000, "again")
	}
}

func testSocketLost(t *testing.T, e *env) {
	s, _ := dial(t, e, "ws")
	write(t, s, "drop")
	_, err := s.Read(withPatience(t))
	require.Error(t, err)
}

// testSocketSilent checks that Close does not wait for a peer that never answers the close frame.
func testSocketSilent(t *testing.T, e *env) {
	s, _ := dial(t, e, "ws/silent")
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(context.Background())
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond) // time for the read to block
	s.Close(1000, "")
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(patience): // the peer's close frame never arrives
		require.Fail(t, "Close waited for the close frame of a silent peer")
	}

	s, _ = dial(t, e, "ws/silent")
	ctx, cancel := context.WithTimeout(withPatience(t), 500*time.Millisecond)
	defer cancel()
	var err error
	for i := 0; i < 400 && err == nil; i++ { // 100 MB, more than all buffers between the two sides can hold
		err = s.Write(ctx, []byte(strings.Repeat("x", 250_000)))
	}
	require.Error(t, err)
	require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
}

func testSocketRefused(t *testing.T, e *env) {
	ctx := withPatience(t)
	_, err := e.platform.Dial(ctx, e.control+"/peer/ws/403", []string{"trivium.v1"})
	require.Error(t, err)
	require.NoError(t, ctx.Err())
	if isNative { // a page cannot see the answer to the handshake
		var refusal *client.HandshakeError
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, 403, refusal.Response.Status)
		require.Equal(t, "because", refusal.Response.Header("X-Why"))
		body, err := io.ReadAll(refusal.Response.Body)
		require.NoError(t, err)
		require.Equal(t, "no sockets\n", string(body))
	}
}

func testSocketDialEnds(t *testing.T, e *env) {
	ctx, cancel := context.WithCancel(withPatience(t))
	ended := make(chan error, 1)
	go func() {
		_, err := e.platform.Dial(ctx, e.named(t, "hang"), nil)
		ended <- err
	}()
	require.Equal(t, "asked", e.news(t))
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, "left", e.news(t))
	_, err := e.platform.Dial(ctx, e.named(t, "ws"), nil)
	require.ErrorIs(t, err, context.Canceled)
}
