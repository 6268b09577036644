package hub

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// fillByBytes publishes events of size bytes until retention removes some.
func fillByBytes(t *testing.T, h *Hub, size int) {
	t.Helper()
	for h.Stats().RemovedByBytes == 0 {
		_, err := h.Publish(context.Background(), &Event{Topic: "a", Data: []byte(strings.Repeat("1", size))})
		require.NoError(t, err)
	}
}

// encodeAll encodes all retained events in n wire formats, beginning with the oldest event.
func encodeAll(h *Hub, n int) {
	for format := range WireFormat(n) {
		for i := range h.memlog.events.len() {
			h.memlog.events.at(i).Encoded(format, func(e *Event) []byte { return append([]byte("data: "), e.Data...) })
		}
	}
}

func TestReadingRemovesNoEvents(t *testing.T) {
	const bytes, size = 1 << 20, 1000
	h, err := New(Config{Retention: Retention{Bytes: bytes}})
	require.NoError(t, err)
	defer h.Close()
	fillByBytes(t, h, size)
	before := h.Stats()
	encodeAll(h, 2)
	read := h.Stats()
	require.LessOrEqual(t, read.RetainedBytes, int64(bytes))
	require.Greater(t, read.RetainedBytes, before.RetainedBytes, "some encodings are kept")
	require.Equal(t, before.RetainedEvents, read.RetainedEvents)
	_, err = h.Publish(context.Background(), &Event{Topic: "a", Data: []byte(strings.Repeat("1", size))})
	require.NoError(t, err)
	after := h.Stats()
	require.Equal(t, before.RetainedEvents, after.RetainedEvents, "one event was added and one removed")
	require.LessOrEqual(t, after.RetainedBytes, int64(bytes))
}

func TestReplayEvictsNoNewerEncodings(t *testing.T) {
	h, err := New(Config{Retention: Retention{Bytes: 1 << 20}})
	require.NoError(t, err)
	defer h.Close()
	fillByBytes(t, h, 1000)
	n := h.memlog.events.len()
	newest := h.memlog.events.at(n - 1)
	newest.Encoded(1, func(e *Event) []byte { return e.Data })
	encodeAll(h, 1)
	require.NotNil(t, newest.encodingIn(1))
	for i := range n {
		require.Equal(t, i >= n-h.memlog.cache.ascending.len()-len(h.memlog.cache.late), h.memlog.events.at(i).encodingIn(0) != nil,
			"the newest events keep their encodings")
	}
	bytes := h.memlog.cache.bytes.Load()
	h.memlog.events.at(0).Encoded(0, func(*Event) []byte { return make([]byte, 1000) })
	require.Nil(t, h.memlog.events.at(0).encodingIn(0))
	require.Equal(t, bytes, h.memlog.cache.bytes.Load(), "nothing was evicted for the oldest")
}

func TestEvictionIsBounded(t *testing.T) {
	const small = 3 * maxEvictions
	c := &encodingCache{limit: small}
	var events []*Event
	for seq := range small {
		e := &Event{ID: Cursor{1, uint64(seq) + 1}, cache: c}
		e.Encoded(0, func(*Event) []byte { return make([]byte, 1) })
		events = append(events, e)
	}
	large := &Event{ID: Cursor{1, small + 1}, cache: c}
	encode := func(*Event) []byte { return make([]byte, small) }
	for _, left := range []int{2 * maxEvictions, maxEvictions} {
		large.Encoded(0, encode)
		require.Nil(t, large.encodingIn(0), "making room would exceed maxEvictions")
		require.Equal(t, left, c.ascending.len())
	}
	large.Encoded(0, encode)
	require.NotNil(t, large.encodingIn(0))
	require.Equal(t, int64(small), c.bytes.Load())
	require.Nil(t, events[small-1].encodingIn(0))
	large.Encoded(1, func(*Event) []byte { return make([]byte, small+1) })
	require.NotNil(t, large.encodingIn(0), "an event larger than the budget evicts nothing")
}

// If many events expire at the same time, they are removed in pieces, and the lock is released
// between two pieces.
func TestRemovalIsBounded(t *testing.T) {
	l := newMemlog(Retention{}.withDefaults(), 0)
	at := time.Unix(1e9, 0)
	for seq := range uint64(2*maxRemovals + 1) {
		l.add(&Event{ID: Cursor{1, seq + 1}, Topic: "a", Time: at})
	}
	for _, left := range []int{maxRemovals + 1, 1} {
		require.False(t, l.trim(at.Add(time.Hour)))
		require.Equal(t, left, l.events.len())
	}
	require.True(t, l.trim(at.Add(time.Hour)))
	require.Zero(t, l.events.len())

	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{})
		require.NoError(t, err)
		defer h.Close()
		for range 5 * maxRemovals {
			_, err := h.Publish(context.Background(), &Event{Topic: "a", Data: []byte("1")})
			require.NoError(t, err)
		}
		time.Sleep(DefaultRetainAge + time.Second)
		require.Zero(t, h.Stats().RetainedEvents, "all are removed in the end")
	})
}
