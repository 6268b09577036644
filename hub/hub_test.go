package hub

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var wideLimit = ReadLimit{Events: 1000, Bytes: 1 << 20}

func topicsOf(events []*Event) string {
	var topics []string
	for _, e := range events {
		topics = append(topics, e.Topic)
	}
	return strings.Join(topics, " ")
}

func TestPublish(t *testing.T) {
	h := startHub(t, Config{MaxEventSize: 4})
	require.Equal(t, 4, h.MaxEventSize())
	id, err := h.Publish(t.Context())
	require.NoError(t, err)
	require.Equal(t, Cursor{h.epoch, 0}, id)

	// Publish stores either all events or none, and its error names the invalid event.
	_, err = h.Publish(t.Context(), &Event{Topic: "a"}, &Event{Topic: "a", Data: []byte("12345")})
	requireInvalid(t, "data", "event 2 of 2: at most 4 bytes", err)
	var bad *InvalidError
	require.ErrorAs(t, err, &bad)
	require.True(t, bad.TooLarge)
	_, err = h.Publish(t.Context(), &Event{Topic: "$sys"})
	requireInvalid(t, "topic", "topics that begin with $", err)
	require.NotContains(t, err.Error(), "event 1")
	require.Zero(t, h.Stats().Published)

	before := time.Now()
	id, err = h.Publish(t.Context(), &Event{Topic: "a"}, &Event{Topic: "b"})
	require.NoError(t, err)
	require.Equal(t, Cursor{h.epoch, 2}, id)
	require.Equal(t, id, h.Position())
	s, err := h.Subscribe(Request{Filters: setOf(">"), Start: Start{Last: 9}}, NewWakeup())
	require.NoError(t, err)
	defer s.Close()
	batch := s.Read(wideLimit)
	require.Equal(t, "a b", topicsOf(batch.Events))
	require.Equal(t, id, batch.Events[1].ID)
	require.WithinRange(t, batch.Events[0].Time, before.Add(-time.Second), time.Now().Add(time.Second))
	require.Equal(t, time.UTC, batch.Events[0].Time.Location())
}

// Every kind of Start begins at the position that docs/protocol.md#starting-a-subscription specifies. The log
// consists of the events with the seqs 1 to 6. The newest 4 are retained.
func TestStartPositions(t *testing.T) {
	h := startHub(t, Config{Retention: Retention{Events: 4}})
	for _, topic := range strings.Fields("a b a b a c") {
		_, err := h.Publish(t.Context(), &Event{Topic: topic})
		require.NoError(t, err)
	}
	at := func(seq uint64) *Cursor { return &Cursor{h.epoch, seq} }
	foreign := &Cursor{h.epoch + 1, 3}
	gap := func(reason GapReason, after string, certain bool) *Gap {
		return &Gap{Reason: reason, After: after, ResumedAt: *at(2), Certain: certain}
	}
	for _, row := range []struct {
		name  string
		set   FilterSet
		start Start
		begin string
		gap   *Gap
		read  string
	}{
		{name: "next", set: setOf(">"), begin: at(6).String()},
		{name: "after the newest", set: setOf(">"), start: Start{Cursor: at(6)}, begin: at(6).String()},
		{name: "after 3", set: setOf(">"), start: Start{Cursor: at(3)}, begin: at(3).String(), read: "b a c"},
		{name: "after 3, one topic", set: setOf("a"), start: Start{Cursor: at(3)}, begin: at(3).String(), read: "a"},
		{name: "at the low watermark", set: setOf(">"), start: Start{Cursor: at(2)}, begin: at(2).String(), read: "a b a c"},
		{name: "expired", set: setOf(">"), start: Start{Cursor: at(1)}, begin: at(1).String(), gap: gap(GapExpired, at(1).String(), true), read: "a b a c"},
		{name: "only other topics expired", set: setOf("a", "c"), start: Start{Cursor: at(1)}, begin: at(1).String(), read: "a a c"},
		{name: "before the first", set: setOf("a"), start: Start{Cursor: at(0)}, begin: at(0).String(), gap: gap(GapExpired, at(0).String(), true), read: "a a"},
		{name: "topic without events", set: setOf("d"), start: Start{Cursor: at(0)}, begin: at(0).String()},
		{name: "future", set: setOf("a"), start: Start{Cursor: at(7)}, begin: at(7).String(), gap: gap(GapFuture, at(7).String(), false), read: "a a"},
		{name: "epoch", set: setOf("b"), start: Start{Cursor: foreign}, begin: foreign.String(), gap: gap(GapEpoch, foreign.String(), false), read: "b"},
		{name: "foreign", set: setOf("b"), start: Start{ForeignCursor: "x.Y_~-1"}, begin: "x.Y_~-1", gap: gap(GapEpoch, "x.Y_~-1", false), read: "b"},
		{name: "foreign, unsafe", set: setOf("b"), start: Start{ForeignCursor: "x\ny"}, begin: Cursor{^h.epoch, 0}.String(), gap: gap(GapEpoch, "x\ny", false), read: "b"},
		{name: "foreign, long", set: setOf("b"), start: Start{ForeignCursor: strings.Repeat("x", 257)}, begin: Cursor{^h.epoch, 0}.String(), gap: gap(GapEpoch, "", false), read: "b"},
		{name: "foreign, not UTF-8", set: setOf("b"), start: Start{ForeignCursor: "\xff"}, begin: Cursor{^h.epoch, 0}.String(), gap: gap(GapEpoch, "", false), read: "b"},
		{name: "last 2", set: setOf(">"), start: Start{Last: 2}, begin: at(4).String(), read: "a c"},
		{name: "last 2 of both topics", set: setOf("a", "b"), start: Start{Last: 2}, begin: at(3).String(), read: "b a"},
		{name: "last 9, no gap", set: setOf("b"), start: Start{Last: 9}, begin: at(3).String(), read: "b"},
		{name: "since the epoch", set: setOf("a"), start: Start{Since: time.Unix(0, 0)}, begin: at(0).String(), gap: gap(GapExpired, "", true), read: "a a"},
		{name: "since the epoch, nothing lost", set: setOf("c"), start: Start{Since: time.Unix(0, 0)}, begin: at(2).String(), read: "c"},
		{name: "since a future time", set: setOf(">"), start: Start{Since: time.Now().Add(time.Hour)}, begin: at(6).String()},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := h.Subscribe(Request{Filters: row.set, Start: row.start}, NewWakeup())
			require.NoError(t, err)
			defer s.Close()
			require.Equal(t, row.begin, s.Cursor())
			batch := s.Read(wideLimit)
			require.Equal(t, row.gap, batch.Gap)
			require.Equal(t, row.read, topicsOf(batch.Events))
			require.False(t, batch.More || batch.FellBehind)
			require.Equal(t, *at(6), s.Position())
			require.Equal(t, at(6).String(), s.Cursor())
			require.Empty(t, s.Read(wideLimit), "the gap is reported once and the events are delivered once")
		})
	}
	require.Equal(t, map[GapReason]uint64{GapExpired: 3, GapEpoch: 5, GapFuture: 1}, h.Stats().Gaps)
}

// A subscription that starts with a cursor but without filters keeps its position until it has
// filters. Without a cursor, its position follows the newest event.
func TestStartWithoutFilters(t *testing.T) {
	h := startHub(t, Config{})
	foreign := Cursor{h.epoch + 1, 3}
	for _, topic := range strings.Fields("a b a") {
		_, err := h.Publish(t.Context(), &Event{Topic: topic})
		require.NoError(t, err)
	}
	for _, row := range []struct {
		start Start
		place string
		gap   bool
		read  string
	}{
		{start: Start{Cursor: &Cursor{h.epoch, 1}}, place: Cursor{h.epoch, 1}.String(), read: "a"},
		{start: Start{Cursor: &foreign}, place: foreign.String(), gap: true, read: "a a"},
		{place: h.Position().String()},
	} {
		s, err := h.Subscribe(Request{Start: row.start}, NewWakeup())
		require.NoError(t, err)
		defer s.Close()
		require.False(t, s.Behind())
		require.Empty(t, s.Read(wideLimit))
		require.Equal(t, row.place, s.Cursor())
		s.SetFilters(setOf("a"))
		batch := s.Read(wideLimit)
		require.Equal(t, row.gap, batch.Gap != nil)
		require.Equal(t, row.read, topicsOf(batch.Events))
		require.Equal(t, h.Position().String(), s.Cursor())
	}
}

// A subscription skips events before its start time, both in reads and in offered batches.
func TestSinceInTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, Config{})
		s, err := h.Subscribe(Request{Filters: setOf(">"), Start: Start{Since: time.Now().Add(time.Minute)}}, NewWakeup())
		require.NoError(t, err)
		defer s.Close()
		publish := func(topic string) {
			_, err := h.Publish(t.Context(), &Event{Topic: topic})
			require.NoError(t, err)
		}
		publish("early")
		require.Empty(t, s.Read(wideLimit).Events)
		time.Sleep(time.Minute - time.Nanosecond)
		publish("still.early")
		time.Sleep(time.Nanosecond)
		publish("due")
		publish("later")
		require.Equal(t, "due later", topicsOf(s.Read(wideLimit).Events))
		require.Equal(t, h.Position(), s.Position())
	})
}

func TestConflation(t *testing.T) {
	h := startHub(t, Config{Retention: Retention{Events: 5}})
	s, err := h.Subscribe(Request{Filters: setOf("a", "b"), Conflate: true}, NewWakeup())
	require.NoError(t, err)
	defer s.Close()
	for _, e := range []*Event{
		{Topic: "a", Key: "1"}, {Topic: "a", Key: "2"}, {Topic: "a"}, {Topic: "b", Key: "1"}, {Topic: "a", Key: "1"}, {Topic: "a"},
	} {
		_, err := h.Publish(t.Context(), e)
		require.NoError(t, err)
	}
	// Seq 1 is removed. For a conflating subscriber this is not a gap, because seq 5, with the same topic and
	// key, was published before the removal.
	batch := s.Read(wideLimit)
	require.Nil(t, batch.Gap)
	require.Equal(t, []uint64{2, 3, 4, 5, 6}, ids(batch.Events))
	every, err := h.Subscribe(Request{Filters: setOf("a"), Start: Start{Cursor: &Cursor{Epoch: h.epoch}}}, NewWakeup())
	require.NoError(t, err)
	defer every.Close()
	require.True(t, every.Read(wideLimit).Gap.Certain)
}

// Event times do not decrease, even if the machine's clock is set back.
func TestTimeNeverDecreases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory().(*memoryEngine)
		h := startHub(t, Config{Engine: m})
		ahead := time.Now().UTC().Add(time.Hour).Round(0)
		m.clock = ahead
		for _, passed := range []time.Duration{0, time.Hour, time.Second} {
			time.Sleep(passed)
			e := &Event{Topic: "a"}
			_, err := h.Publish(t.Context(), e)
			require.NoError(t, err)
			require.Equal(t, ahead.Add(passed%time.Hour), e.Time)
		}
	})
}

// A subscriber that never reads does not delay other subscribers, and its memory does not grow.
func TestSlowSubscriberDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, Config{Retention: Retention{Events: 10}})
		slow, err := h.Subscribe(Request{Filters: setOf("a")}, NewWakeup())
		require.NoError(t, err)
		defer slow.Close()
		wakeup := NewWakeup()
		quick, err := h.Subscribe(Request{Filters: setOf(">")}, wakeup)
		require.NoError(t, err)
		defer quick.Close()
		for i := range 3 * maxPendingEvents {
			_, err := h.Publish(t.Context(), &Event{Topic: "a"})
			require.NoError(t, err)
			if i%10 == 9 {
				synctest.Wait()
				<-wakeup
				require.Len(t, quick.Read(wideLimit).Events, 10)
			}
		}
		synctest.Wait()
		require.LessOrEqual(t, cap(slow.group.pending), 16)
		require.True(t, slow.Behind())
		batch := slow.Read(wideLimit)
		require.Len(t, batch.Events, 10)
		require.Equal(t, &Gap{
			Reason: GapExpired, After: Cursor{h.epoch, 0}.String(),
			ResumedAt: Cursor{h.epoch, 3*maxPendingEvents - 10}, Certain: true,
		}, batch.Gap)
		require.False(t, batch.FellBehind, "FellBehind is not set before the first read")
		require.False(t, slow.Behind())
		for range 11 {
			_, err := h.Publish(t.Context(), &Event{Topic: "a"})
			require.NoError(t, err)
		}
		require.True(t, slow.Read(wideLimit).FellBehind)
	})
}

func TestEventsExpireWithoutPublishing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, Config{Retention: Retention{Age: time.Minute}})
		for range 3 { // each time, all events expire
			for range 5 {
				_, err := h.Publish(t.Context(), &Event{Topic: "a"}, &Event{Topic: "b"})
				require.NoError(t, err)
				time.Sleep(time.Second)
			}
			time.Sleep(55*time.Second - time.Millisecond)
			require.Equal(t, 10, h.Stats().RetainedEvents)
			time.Sleep(2 * minExpiry)
			require.Equal(t, 8, h.Stats().RetainedEvents)
			time.Sleep(5 * time.Second)
			s := h.Stats()
			require.Zero(t, s.RetainedEvents+s.RetainedTopics+int(s.RetainedBytes))
			require.Equal(t, 2, s.GapTopics)
			require.Equal(t, s.Published, s.RemovedByAge)
			time.Sleep(time.Hour)
		}
	})
}

func TestClose(t *testing.T) {
	h, err := New(Config{})
	require.NoError(t, err)
	s, err := h.Subscribe(Request{Filters: setOf("a")}, NewWakeup())
	require.NoError(t, err)
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for {
				runtime.Gosched() // in WebAssembly, other goroutines run only if this one yields
				if _, err := h.Publish(t.Context(), &Event{Topic: "a"}); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	require.NoError(t, h.Close())
	require.NoError(t, h.Close())
	publishers.Wait()
	_, err = h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a"})
	require.ErrorIs(t, err, ErrClosed)
	_, err = h.Subscribe(Request{Filters: setOf("a")}, NewWakeup())
	require.ErrorIs(t, err, ErrClosed)
	read := 0
	for batch := (ReadResult{More: true}); batch.More; read += len(batch.Events) {
		batch = s.Read(wideLimit)
		if batch.Gap != nil {
			read += int(batch.Gap.ResumedAt.Seq)
		}
	}
	require.Equal(t, h.Position().Seq, uint64(read), "accepted events remain readable")
	s.SetFilters(setOf("b"))
	s.Close()
	s.Close()
	s.SetFilters(setOf("a"))
	require.Zero(t, h.Stats().Subscriptions)
	require.Zero(t, h.Stats().Groups)
}

type brokenEngine struct{ Engine }

var errBroken = errors.New("no disk")

func (brokenEngine) Start(func([]*Event)) (Cursor, error) { return Cursor{}, errBroken }

func TestNewWithBrokenEngine(t *testing.T) {
	_, err := New(Config{Engine: brokenEngine{}})
	require.ErrorIs(t, err, errBroken)
}
