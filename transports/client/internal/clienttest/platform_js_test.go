package clienttest

import (
	"io"
	"strconv"
	"syscall/js"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// testOwn runs the tests for JavaScript platforms.
func testOwn(t *testing.T, e *env) {
	t.Run("socket closed unread", func(t *testing.T) { t.Parallel(); testSocketClosedUnread(t, e) })
	t.Run("socket bounded", func(t *testing.T) { t.Parallel(); testSocketBounded(t, e) })
	t.Run("source", func(t *testing.T) { t.Parallel(); testSource(t, e) })
	t.Run("wakes", func(t *testing.T) { t.Parallel(); testWakes(t, e) })
}

// testSocketClosedUnread checks that messages that arrived before the close can be read after it.
func testSocketClosedUnread(t *testing.T, e *env) {
	ctx := withPatience(t)
	s, _ := dial(t, e, "ws")
	write(t, s, "send 300")
	write(t, s, "close 4401 over")
	require.Equal(t, "closed", e.news(t))
	time.Sleep(50 * time.Millisecond) // time for the close frame to arrive on this side
	for i := range 300 {
		message, err := s.Read(ctx)
		require.NoError(t, err, "message %d", i)
		require.Equal(t, strconv.Itoa(i), string(message))
	}
	var end *client.CloseError
	_, err := s.Read(ctx)
	require.ErrorAs(t, err, &end)
	require.Equal(t, client.CloseError{Code: 4401, Reason: "over"}, *end)
}

// testSocketBounded checks that the number of queued messages is limited, and that Read returns all of
// them before it returns an error.
func testSocketBounded(t *testing.T, e *env) {
	ctx := withPatience(t)
	s, _ := dial(t, e, "ws")
	write(t, s, "send 10050")
	require.Equal(t, "4408 too many messages wait in the page", e.news(t))
	for i := range 10_000 {
		message, err := s.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), string(message))
	}
	_, err := s.Read(ctx)
	require.ErrorContains(t, err, "too many messages were waiting to be read")
}

func testSource(t *testing.T, e *env) {
	ctx := withPatience(t)
	sourcer, ok := e.platform.(client.EventSourcer)
	require.Equal(t, isPage, ok)
	if !ok {
		return
	}
	source, err := sourcer.EventSource(ctx, e.control+"/peer/source")
	require.NoError(t, err)
	defer source.Close()
	for _, want := range []client.SSEEvent{
		{ID: "a-1", Type: "trivium.open"}, {ID: "a-2", Data: "é\n2"}, {Type: "error"}, {ID: "a-3", Type: "trivium.open"}, {Type: "error"},
	} {
		event, err := source.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, want, event)
	}
	for range 2 {
		_, err = source.Next(ctx)
		require.ErrorIs(t, err, io.EOF)
	}

	hanging, err := sourcer.EventSource(ctx, e.named(t, "hang"))
	require.NoError(t, err)
	require.Equal(t, "asked", e.news(t))
	hanging.Close()
	require.Equal(t, "left", e.news(t))
	_, err = hanging.Next(ctx)
	require.Error(t, err)
}

func testWakes(t *testing.T, e *env) {
	wakes, stop := e.platform.Wakes()
	if !isPage {
		require.Nil(t, wakes)
		stop()
		return
	}
	dispatch := func(target, name string, persisted bool) {
		event := js.Global().Get("PageTransitionEvent").New(name, map[string]any{"persisted": persisted})
		object := js.Global()
		if target != "" {
			object = object.Get(target)
		}
		object.Call("dispatchEvent", event)
	}
	dispatch("", "pageshow", false)
	require.Empty(t, wakes)
	dispatch("document", "visibilitychange", false)
	require.Equal(t, client.WakeVisible, <-wakes)
	dispatch("document", "visibilitychange", false)
	dispatch("", "online", false) // browsers also dispatch "online" when the page cannot reach the hub
	dispatch("document", "visibilitychange", false)
	require.Equal(t, client.WakeNetwork, <-wakes)
	dispatch("", "pageshow", true)
	require.Equal(t, client.WakeNetwork, <-wakes)
	stop()
	dispatch("", "online", false)
	require.Empty(t, wakes)
}
