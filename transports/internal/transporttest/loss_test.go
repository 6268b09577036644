package transporttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

func TestLosses(t *testing.T) {
	if testing.Short() {
		t.Skip("the test waits until events are lost, which takes a long time")
	}
	t.Parallel()
	forgetful := retain(10)
	forgetful.Hub.Retention.GapTopics = 2
	disconnecting := retain(20)
	disconnecting.Disconnect = true
	runScenarios(t, []scenario{
		{"other epoch", Config{}, otherEpoch},
		{"future", Config{}, future},
		{"expired", retain(10), expired},
		{"only other topics lost events", retain(10), onlyOthersLost},
		{"cursor older than the trimmed-topic index", forgetful, olderThanIndex},
		{"subscriber fell behind retention", retain(20), fellBehind},
		{"disconnected for falling behind retention", disconnecting, disconnected},
		{"conflated", Config{}, conflated},
		{"drain", Config{}, drain},
	})
}

func otherEpoch(t *testing.T, s *Server, r Path) {
	events := numbered(t, s, 3, "a")
	other := hub.Cursor{Epoch: events[0].ID.Epoch + 1, Seq: 2}
	c := connect(t, s, r, Query("cursor", other.String()))
	gap := read(t, c, 1)[0]
	requireGap(t, gap, hub.GapEpoch, false)
	require.Equal(t, other.String(), gap.Gap.After)
	expect(t, c, events...)
	expect(t, connect(t, s, r, Query("cursor", gap.ID)), events...)
}

func future(t *testing.T, s *Server, r Path) {
	events := numbered(t, s, 3, "a")
	ahead := events[2].ID
	ahead.Seq += 7
	c := connect(t, s, r, Query("cursor", ahead.String()))
	gap := read(t, c, 1)[0]
	requireGap(t, gap, hub.GapFuture, false)
	require.Equal(t, ahead.String(), gap.Gap.After)
	expect(t, c, events...)
}

func expired(t *testing.T, s *Server, r Path) {
	events := numbered(t, s, 30, "a", "b")
	cursor := events[10].ID.String()
	c := connect(t, s, r, Query("cursor", cursor, "topic", "a"))
	gap := read(t, c, 1)[0]
	requireGap(t, gap, hub.GapExpired, true)
	require.Equal(t, cursor, gap.Gap.After)
	require.Equal(t, events[19].ID, gap.Gap.ResumedAt)
	expect(t, c, events[20], events[22], events[24], events[26], events[28])
	expect(t, connect(t, s, r, Query("cursor", gap.ID)), events[20:]...)

	since := connect(t, s, r, Query("since", "1h"))
	gap = read(t, since, 1)[0]
	requireGap(t, gap, hub.GapExpired, true)
	require.Empty(t, gap.Gap.After)
	expect(t, since, events[20:]...)
	expect(t, connect(t, s, r, Query("last", "100")), events[20:]...)
}

func onlyOthersLost(t *testing.T, s *Server, r Path) {
	mine := numbered(t, s, 2, "a")
	numbered(t, s, 30, "b")
	next := JSON("a", `"next"`)
	c := connect(t, s, r, Query("topic", "a", "cursor", mine[1].ID.String()))
	lost := connect(t, s, r, Query("topic", "a", "cursor", mine[0].ID.String()))
	s.Publish(t, next)
	expect(t, c, next)
	requireGap(t, read(t, lost, 1)[0], hub.GapExpired, true)
	expect(t, lost, next)
}

// olderThanIndex resumes at a cursor that is older than the trimmed-topic index. The hub no longer knows
// which topics have lost events since then. Therefore it sends a gap that is not certain, see
// hub.Gap.Certain.
func olderThanIndex(t *testing.T, s *Server, r Path) {
	first := numbered(t, s, 1, "b")[0]
	numbered(t, s, 40, "x", "y", "z")
	next := JSON("a", `"next"`)
	c := connect(t, s, r, Query("topic", "a", "cursor", first.ID.String()))
	s.Publish(t, next)
	requireGap(t, read(t, c, 1)[0], hub.GapExpired, false)
	expect(t, c, next)
}

// flood publishes more events than the buffers of a connection can hold, and then an event on the topic
// "end", which it returns.
func flood(t *testing.T, s *Server, event func(i int) *hub.Event) *hub.Event {
	t.Helper()
	const n = 1000
	for i := range n {
		s.Publish(t, event(i))
	}
	end := JSON("end", `1`)
	s.Publish(t, end)
	return end
}

// bulk returns a JSON string of 8 KiB that compresses badly. Different i yield different strings.
func bulk(i int) string {
	var b strings.Builder
	b.WriteByte('"')
	for x := uint32(i) + 1; b.Len() < 8<<10; {
		x = x*1664525 + 1013904223
		b.WriteString(strconv.FormatUint(uint64(x), 36))
	}
	return b.String() + `"`
}

func fellBehind(t *testing.T, s *Server, r Path) {
	c, begin := opened(t, s, r, Request{Slow: true})
	end := flood(t, s, func(i int) *hub.Event { return JSON("a", bulk(i)) })
	after, gaps := begin, 0
	for _, item := range readTo(t, c, end.ID) {
		if item.Kind == Gap {
			requireGap(t, item, hub.GapExpired, true)
			require.Equal(t, after, item.Gap.After)
			gaps++
		} else {
			require.Equal(t, Event, item.Kind)
			require.Equal(t, seq(t, Item{ID: after})+1, seq(t, item), "events were lost without a gap")
		}
		after = item.ID
	}
	require.Positive(t, gaps)
}

func disconnected(t *testing.T, s *Server, r Path) {
	c, _ := opened(t, s, r, Request{Slow: true})
	first := numbered(t, s, 1, "a")[0]
	expect(t, c, first) // if the client had not read any event yet, it would get a gap instead of the error
	after := first.ID.String()
	end := flood(t, s, func(i int) *hub.Event { return JSON("a", bulk(i)) })
	for !r.IsLongPoll() {
		item := read(t, c, 1)[0]
		if item.Kind == Error {
			require.Equal(t, http.StatusRequestTimeout, item.Problem.Status)
			requireEnd(t, c, r, 4408)
			break
		}
		require.Equal(t, Event, item.Kind)
		require.Equal(t, seq(t, Item{ID: after})+1, seq(t, item))
		after = item.ID
	}
	again := readTo(t, connect(t, s, r, Query("cursor", after)), end.ID)
	requireGap(t, again[0], hub.GapExpired, true)
	require.Equal(t, after, again[0].Gap.After)
	require.Len(t, again, 21)
}

// requireEnd requires that the stream is ended cleanly. A WebSocket stream must end with the given close
// code. If the client should resume, an SSE stream must end without its last chunk.
func requireEnd(t *testing.T, c Client, r Path, code int) {
	t.Helper()
	if strings.HasPrefix(r.Name, "websocket") {
		require.Equal(t, Item{Kind: Close, Code: code}, read(t, c, 1)[0])
	}
	_, err := c.Next()
	if strings.HasPrefix(r.Name, "websocket") && errors.Is(err, syscall.ECONNRESET) {
		return // the hub had closed the connection before the client answered the close frame
	}
	if strings.HasPrefix(r.Name, "sse") && (code == 1001 || code == 4408) {
		require.Error(t, err) // the last chunk is missing
		return
	}
	require.Equal(t, io.EOF, err)
}

func conflated(t *testing.T, s *Server, r Path) {
	c, _ := opened(t, s, r, Request{Slow: true, Query: Query("conflate", "key").Query})
	newest, keyless := make(map[string]string), 0
	end := flood(t, s, func(i int) *hub.Event {
		if i%50 == 0 {
			keyless++
			return JSON("keyless", strconv.Itoa(i))
		}
		e := JSON("keyed", bulk(i))
		e.Key = fmt.Sprint(i % 7)
		newest[e.Key] = e.Key + bulk(i)
		return e
	})
	items := readTo(t, c, end.ID)
	require.Less(t, len(items), 900)
	found := make(map[string]bool)
	for i, item := range items {
		require.Equal(t, Event, item.Kind)
		if i > 0 {
			require.Less(t, seq(t, items[i-1]), seq(t, item))
		}
		if item.Topic == "keyless" {
			keyless--
		}
		found[item.Data] = true
	}
	require.Zero(t, keyless, "all events without a key must be delivered")
	for key, data := range newest {
		require.True(t, found[data[len(key):]], "the newest event with the key %s must be delivered", key)
	}
}

func drain(t *testing.T, s *Server, r Path) {
	const window = Patience // long, because at its end the hub closes connections that a slow test is still reading
	c, begin := opened(t, s, r, Request{})
	events := numbered(t, s, 300, "a")
	answered := make(chan error, 1)
	if r.IsLongPoll() {
		expect(t, c, events...)
		c.(*pollClient).ask.Query.Set("wait", "50") // long, so that the poll still waits when the drain begins
		// The handler may not have returned yet, so the count is checked repeatedly.
		require.Eventually(t, func() bool { return s.Poll.Connections.Load() == 0 }, Patience, time.Millisecond)
		go func() {
			item, err := c.Next()
			for err == nil && hasOnlyPosition(item) {
				item, err = c.Next()
			}
			answered <- err
		}()
		require.Eventually(t, func() bool { return s.Poll.Connections.Load() == 1 }, Patience, time.Millisecond)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Registry.DrainSpread(context.Background(), time.Second, window)
	}()
	if r.IsLongPoll() {
		require.Equal(t, io.EOF, <-answered, "the waiting poll must be answered with the header Retry-After")
	} else {
		expect(t, c, events...)
		goaway := read(t, c, 1)[0]
		require.Equal(t, Goaway, goaway.Kind)
		require.GreaterOrEqual(t, goaway.Retry, time.Second)
		require.LessOrEqual(t, goaway.Retry, time.Second+window)
		requireEnd(t, c, r, 1001)
	}
	<-done
	require.Zero(t, s.SSE.ClosedAtDeadline.Load()+s.WebSocket.ClosedAtDeadline.Load())
	refusal := refused(t, s, r, Query("cursor", begin))
	require.Equal(t, http.StatusServiceUnavailable, refusal.Status)
	after, err := strconv.Atoi(refusal.Header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, after)
}
