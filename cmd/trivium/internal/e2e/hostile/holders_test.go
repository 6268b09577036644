package hostile

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// unread uses two tokens, each of which may have only one connection. The client of each token stops reading,
// and then the token loses its rights. The hub must close the connection, so that it accepts another
// connection with the token.
func unread(t *testing.T, f *testbed) {
	names := []string{"unread on /sse", "unread on /ws"}
	for _, name := range names {
		_, route, _ := strings.Cut(name, " on ")
		x := f.start(t, request{line: "GET " + route + "?topic=load.unread", token: f.tokens[name]})
		require.Equal(t, http.StatusOK, x.status)
		require.Equal(t, http.StatusServiceUnavailable, f.do(t, request{line: pollNow, token: f.tokens[name]}).status)
	}
	for range 20 {
		x := f.do(t, request{line: "POST /publish/load.unread", token: f.tokens["master"], body: quoted(strings.Repeat("x", 500<<10))})
		require.Equal(t, http.StatusOK, x.status)
	}
	for _, name := range names {
		f.change(t, name, func(e *tokenEntry) bool { e.subscribe = `"load.quiet"`; return true })
	}
	begin := time.Now()
	for _, name := range names {
		require.Eventually(t, func() bool {
			return f.do(t, request{line: pollNow, token: f.tokens[name]}).status == http.StatusOK
		}, hubtest.Patience, 10*time.Millisecond)
		inTime(t, "to close "+name+", including the change of the file", time.Since(begin)-time.Second)
	}
}

// manyHolders opens many connections with one token, and requires that the hub closes all of them in
// time when the token expires. It opens 400 connections, or 9,000 if TRIVIUM_LONG is set. This is less
// than the 9,456 that one token may have with a limit of 20,000 open files.
func manyHolders(t *testing.T, f *testbed) {
	holders := 400
	if os.Getenv("TRIVIUM_LONG") != "" {
		holders = 9_000
	}
	closed := make([]*subscriberLog, holders)
	var all sync.WaitGroup
	for i := range closed {
		h, listener := &subscriberLog{where: "GET /sse"}, readStreamEvents
		closed[i] = h
		if i%2 == 1 {
			h.where, listener = "GET /ws", readSocketEvents
		}
		x := f.start(t, request{line: h.where, token: f.tokens["many"]})
		require.Equal(t, http.StatusOK, x.status)
		require.NoError(t, x.conn.SetDeadline(time.Now().Add(2*hubtest.Patience)))
		all.Go(func() {
			listener(h, x)
			h.closed = time.Now()
		})
	}
	var end time.Time
	f.change(t, "many", func(e *tokenEntry) bool {
		end = time.Now().Add(2 * time.Second)
		e.more = "expires: " + end.UTC().Format(time.RFC3339Nano)
		return true
	})
	all.Wait()
	for _, h := range closed {
		require.Equal(t, http.StatusUnauthorized, h.status, h.where)
	}
	byRefusal := func(a, b *subscriberLog) int { return a.refusedAt.Compare(b.refusedAt) }
	require.True(t, slices.MinFunc(closed, byRefusal).refusedAt.After(end.Add(-10*time.Millisecond)), "no connection is closed before the token expires")
	inTime(t, fmt.Sprintf("to refuse the last of %d connections", holders), slices.MaxFunc(closed, byRefusal).refusedAt.Sub(end))
	last := slices.MaxFunc(closed, func(a, b *subscriberLog) int { return a.closed.Compare(b.closed) })
	inTime(t, fmt.Sprintf("to close the last of %d connections", holders), last.closed.Sub(end))
}
