package connection

import (
	"context"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// sized is a format in which the encoding of every event has n bytes.
type sized struct {
	form wire.Form
	n    int
}

func (f sized) Form() wire.Form          { return f.form }
func (f sized) Encode(*hub.Event) []byte { return make([]byte, f.n) }

// eventLog is a hub with the events that were published to it.
type eventLog struct {
	t      require.TestingT
	hub    *hub.Hub
	events []*hub.Event
}

func newEventLog(t require.TestingT, keep hub.Retention) *eventLog {
	h, err := hub.New(hub.Config{Retention: keep})
	require.NoError(t, err)
	return &eventLog{t: t, hub: h}
}

// publish publishes n events. The data of each event has size bytes.
func (l *eventLog) publish(n, size int) {
	for range n {
		e := &hub.Event{Topic: "a", Data: []byte(strings.Repeat("1", size))}
		_, err := l.hub.Publish(context.Background(), e)
		require.NoError(l.t, err)
		l.events = append(l.events, e)
	}
}

// kept returns the encoding in the given wire format that is attached to the event, or nil.
func kept(e *hub.Event, form wire.Form) []byte {
	x, _ := e.Attached().(*eventEncodings)
	b, _ := x.find(form)
	return b
}

// budgetModel is a naive model of retainedEncodings: it records the size of each kept encoding, and
// each of its methods visits all events.
type budgetModel struct {
	*eventLog
	cache   *EncodingCache
	oldest  int                 // index of the oldest retained event
	erased  map[int]bool        // by index
	encoded []map[wire.Form]int // sizes of the kept encodings by wire format, for each event
}

// TestEncodingBudgetModel publishes, encodes and erases events at random, and compares the kept encodings
// with a model. Encodings of newer events evict encodings of older events, but not vice versa. Events
// that were erased, or that retention removed, have no encodings.
func TestEncodingBudgetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keep := rapid.IntRange(1, 12).Draw(t, "events")
		m := &budgetModel{
			eventLog: newEventLog(t, hub.Retention{Events: keep}),
			cache:    newEncodingCache(rapid.Int64Range(1, 2000).Draw(t, "limit")),
			erased:   make(map[int]bool),
		}
		defer func() { require.NoError(t, m.hub.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(*rapid.T) {
				m.publish(1, 10)
				m.encoded = append(m.encoded, make(map[wire.Form]int))
				for ; m.oldest < len(m.events)-keep; m.oldest++ {
					m.encoded[m.oldest] = nil
				}
			},
			"encode": m.encode, "encode again": m.encode, "encode more": m.encode,
			"erase": m.erase,
			"":      m.check,
		})
	})
}

func (m *budgetModel) erase(t *rapid.T) {
	if len(m.events) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.events)-1).Draw(t, "event")
	err := m.hub.Erase(context.Background(), m.events[i].ID)
	if i < m.oldest || m.erased[i] {
		require.ErrorIs(t, err, hub.ErrNoEvent)
		return
	}
	require.NoError(t, err)
	m.erased[i], m.encoded[i] = true, nil
}

// sizeOf returns the memory of the encodings of an event, in bytes.
func sizeOf(encodings map[wire.Form]int) (n int64) {
	for _, bytes := range encodings {
		n += int64(bytes) + encodingSize
	}
	if n > 0 {
		n += eventEncodingsSize - encodingSize
	}
	return n
}

func (m *budgetModel) bytes() (n int64) {
	for _, encodings := range m.encoded {
		n += sizeOf(encodings)
	}
	return n
}

// encode encodes a random event. Retention may already have removed the event: a connection can still
// encode an event that it read before the removal.
func (m *budgetModel) encode(t *rapid.T) {
	if len(m.events) == 0 {
		return
	}
	i := rapid.IntRange(max(0, m.oldest-2), len(m.events)-1).Draw(t, "event")
	form, n := wire.Form(rapid.IntRange(0, 2).Draw(t, "form")), rapid.IntRange(0, 600).Draw(t, "bytes")
	if known, ok := m.encoded[i][form]; ok {
		require.Len(t, m.cache.Encoded(m.events[i], sized{form, n}), known)
		return
	}
	require.Len(t, m.cache.Encoded(m.events[i], sized{form, n}), n)
	if i < m.oldest || m.erased[i] {
		return
	}
	before := m.bytes()
	m.encoded[i][form] = n
	added := m.bytes() - before
	delete(m.encoded[i], form)
	if added > m.cache.retained.limit {
		return
	}
	for older := range i {
		if m.bytes()+added > m.cache.retained.limit && len(m.encoded[older]) > 0 {
			m.encoded[older] = make(map[wire.Form]int)
		}
	}
	if m.bytes()+added <= m.cache.retained.limit {
		m.encoded[i][form] = n
	}
}

func (m *budgetModel) check(t *rapid.T) {
	for i, e := range m.events {
		for form := range wire.Form(3) {
			n, ok := m.encoded[i][form]
			found := kept(e, form)
			require.Equal(t, ok, found != nil)
			if ok {
				require.Len(t, found, n)
			}
		}
	}
	require.Equal(t, m.bytes(), m.cache.RetainedBytes())
	require.LessOrEqual(t, m.cache.RetainedBytes(), m.cache.retained.limit)
}

// Encodings have a limit of their own, so that encoding an event does not make retention remove events. A
// replay of old events does not evict the encodings of newer events.
func TestReplayEvictsNoNewerEncodings(t *testing.T) {
	const n, limit = 1000, 64 << 10
	l, c := newEventLog(t, hub.Retention{Events: n}), newEncodingCache(limit)
	defer l.hub.Close()
	l.publish(n, 1000)
	before := l.hub.Stats()
	newest := l.events[n-1]
	c.Encoded(newest, sized{1, 1000})
	for _, e := range l.events {
		c.Encoded(e, sized{0, 1000})
	}
	require.Equal(t, before.RetainedBytes, l.hub.Stats().RetainedBytes)
	require.Equal(t, before.RetainedEvents, l.hub.Stats().RetainedEvents)
	require.NotNil(t, kept(newest, 1))
	bytes := c.RetainedBytes()
	require.LessOrEqual(t, bytes, int64(limit))
	require.Greater(t, bytes, int64(limit-2000))
	first := 0 // index of the first event whose encoding is kept
	for kept(l.events[first], 0) == nil {
		first++
	}
	for _, e := range l.events[first:] {
		require.NotNil(t, kept(e, 0))
	}
	c.Encoded(l.events[0], sized{0, 2000})
	require.Nil(t, kept(l.events[0], 0))
	require.Equal(t, bytes, c.RetainedBytes(), "an encoding of an older event evicts nothing")
}

func TestEvictionIsBounded(t *testing.T) {
	const small = 3 * maxEvictions
	const limit = small * (eventEncodingsSize + 1)
	l, c := newEventLog(t, hub.Retention{}), newEncodingCache(limit)
	defer l.hub.Close()
	l.publish(small+1, 1)
	for _, e := range l.events[:small] {
		c.Encoded(e, sized{0, 1})
	}
	require.EqualValues(t, limit, c.RetainedBytes())
	large := l.events[small]
	for left := 2; left > 0; left-- {
		c.Encoded(large, sized{0, limit - eventEncodingsSize})
		require.Nil(t, kept(large, 0), "an encoding that needs more than maxEvictions evictions is not kept")
		require.EqualValues(t, left*maxEvictions*(eventEncodingsSize+1), c.RetainedBytes())
	}
	c.Encoded(large, sized{0, limit - eventEncodingsSize})
	require.NotNil(t, kept(large, 0))
	require.Nil(t, kept(l.events[small-1], 0))
	c.Encoded(large, sized{1, limit + 1})
	require.NotNil(t, kept(large, 0), "an encoding above the limit evicts nothing")
}

func TestEncodingsCountTheirStructs(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(eventEncodings{}), uintptr(eventEncodingsSize))
	require.LessOrEqual(t, unsafe.Sizeof(encoding{}), uintptr(encodingSize))
}

// The connections of two registries encode events of one hub while retention removes events. The
// registries share the encodings. When all events are removed, both registries count zero bytes.
func TestEncodingsOfRemovedEventsAreNotKept(t *testing.T) {
	l := newEventLog(t, hub.Retention{Events: 8})
	defer l.hub.Close()
	caches := []*EncodingCache{newEncodingCache(1 << 10), newEncodingCache(1 << 10)}
	var readers sync.WaitGroup
	taken := make(chan *hub.Event, 16)
	for i := range 4 {
		readers.Go(func() {
			for e := range taken {
				caches[i%2].Encoded(e, sized{wire.Form(i / 2), 10})
			}
		})
	}
	for range 3000 {
		l.publish(1, 1)
		e := l.events[len(l.events)-1]
		for range 4 {
			taken <- e
		}
	}
	close(taken)
	readers.Wait()
	require.LessOrEqual(t, caches[0].RetainedBytes(), int64(1<<10))
	require.LessOrEqual(t, caches[1].RetainedBytes(), int64(1<<10))
	e := l.events[len(l.events)-1]
	b := caches[0].Encoded(e, sized{5, 1})
	require.Same(t, &b[0], &caches[1].Encoded(e, sized{5, 1})[0], "both registries return the same encoding")
	for _, e := range l.events[len(l.events)-8:] {
		require.NoError(t, l.hub.Erase(context.Background(), e.ID))
	}
	require.Zero(t, caches[0].RetainedBytes())
	require.Zero(t, caches[1].RetainedBytes())
	caches[0].Encoded(e, sized{0, 10})
	require.Zero(t, caches[0].RetainedBytes(), "no memory is counted after the event has left the in-memory log")
}
