package hub

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Events that the durable log has removed are still delivered if the in-memory log has them. The
// gap covers only events that were lost before them.
func TestMemlogEventsRemovedFromTheLogAreRead(t *testing.T) {
	for _, row := range []struct {
		filter string
		start  Start
		gap    *Gap
		first  uint64
	}{
		{"t.5", after(30), &Gap{Reason: GapExpired, After: "00000001-30", ResumedAt: Cursor{1, 50}, Certain: true}, 56},
		{"t.5", after(50), nil, 56},
		{"rare", after(30), nil, 101},
		{">", Start{Cursor: &Cursor{2, 30}}, &Gap{Reason: GapEpoch, After: "00000002-30", ResumedAt: Cursor{1, 50}}, 51},
		{"t.5", Start{Last: 7}, nil, 56},
	} {
		t.Run(row.filter, func(t *testing.T) {
			h, l := startLog(t, 100, 50)
			require.Equal(t, uint64(50), h.lowWatermark())
			l.withLock(func() { l.log.gone = 80 })
			h.replay.updateLossIndex(t.Context(), h.lowWatermark(), 100)
			s := subscribeToLog(t, h, row.filter, row.start)
			var events []*Event
			var gap *Gap
			for b := s.next(t); b.Gap != nil || len(b.Events) > 0; b = s.next(t) {
				if b.Gap != nil {
					require.Nil(t, gap)
					gap = b.Gap
				}
				events = append(events, b.Events...)
			}
			_, err := h.Publish(t.Context(), &Event{Topic: "rare", Data: []byte("1")})
			require.NoError(t, err)
			events = append(events, s.next(t).Events...)
			require.Equal(t, row.gap, gap)
			require.Equal(t, row.first, events[0].ID.Seq)
		})
	}
}

// A start by time reports a gap if the log has removed events of that time or later, but not if it
// has removed only older events.
func TestSinceBeforeTheMemlog(t *testing.T) {
	for _, row := range []struct {
		filter       string
		since, first uint64 // seqs
		gap          bool
	}{
		{"t.3", 45, 54, false},
		{"t.5", 45, 56, true},
		{">", 50, 51, true},
		{">", 51, 51, false},
		{"t.3", 60, 64, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, l := startLog(t, 0, 10)
			begin := time.Now()
			for i := range 100 {
				time.Sleep(time.Second)
				_, err := h.Publish(t.Context(), &Event{Topic: fmt.Sprint("t.", i%10), Data: []byte("1")})
				require.NoError(t, err)
			}
			l.withLock(func() { l.log.gone = 50 })
			s := subscribeToLog(t, h, row.filter, Start{Since: begin.Add(time.Duration(row.since) * time.Second)})
			batch := s.next(t)
			require.Equal(t, row.gap, batch.Gap != nil, "%+v: %+v", row, batch.Gap)
			if row.gap {
				require.Equal(t, Gap{Reason: GapExpired, ResumedAt: Cursor{1, 50}, Certain: true}, *batch.Gap)
			}
			if len(batch.Events) == 0 {
				batch = s.next(t)
			}
			require.Equal(t, row.first, batch.Events[0].ID.Seq)
		})
	}
}

// If the log removes some of the newest n events before they are read, no gap is reported.
func TestLastReportsNoGapForRemovedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startLog(t, 100, 10)
		s := subscribeToLog(t, h, ">", Start{Last: 50})
		for s.Read(ReadLimit{0, 1}).Waiting {
			<-s.wakeup
		}
		require.Equal(t, uint64(50), s.Position().Seq)
		l.withLock(func() { l.log.gone = 80 })
		h.replay.dropOldChunks(time.Now().Add(time.Hour))
		batch := s.next(t)
		require.Nil(t, batch.Gap)
		require.Equal(t, uint64(81), batch.Events[0].ID.Seq)
	})
}

// If the first event alone exceeds the byte limit, a replay read returns only that event.
func TestReplayReadLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := startLog(t, 100, 10)
		s := subscribeToLog(t, h, ">", after(0))
		for s.Read(ReadLimit{0, 1}).Waiting {
			<-s.wakeup
		}
		for seq := range uint64(50) {
			batch := s.Read(ReadLimit{1000, 1})
			require.Len(t, batch.Events, 1)
			require.Equal(t, seq+1, batch.Events[0].ID.Seq)
			require.True(t, batch.More)
		}
	})
}

// A conflating subscriber that reads replay chunks does not receive an event if the chunk or the in-memory
// log has a newer event with the same topic and key. It receives every other event.
func TestReplayConflates(t *testing.T) {
	h, _ := startLog(t, 0, 2)
	publish := func(topic string, keys ...string) {
		for _, key := range keys {
			_, err := h.Publish(t.Context(), &Event{Topic: topic, Key: key, Data: []byte("1")})
			require.NoError(t, err)
		}
	}
	publish("t", "old", "a", "", "old", "b", "a", "", "c")
	publish("between", make([]string, chunkEvents)...) // fills the chunk: the next two events are not in it
	publish("t", "c", "b")
	const c, b = chunkEvents + 9, chunkEvents + 10
	for conflate, want := range map[bool][]uint64{false: {1, 2, 3, 4, 5, 6, 7, 8, c, b}, true: {3, 4, 6, 7, c, b}} {
		s := &logReader{wakeup: NewWakeup()}
		var err error
		s.Subscription, err = h.Subscribe(Request{Filters: setOf("t"), Start: after(0), Conflate: conflate}, s.wakeup)
		require.NoError(t, err)
		defer s.Close()
		var got []uint64
		for b := s.next(t); len(b.Events) > 0; b = s.next(t) {
			for _, e := range b.Events {
				got = append(got, e.ID.Seq)
			}
		}
		require.Equal(t, want, got, "conflate: %v", conflate)
	}
}

// If a subscriber had read all events before a deleted range, it gets a gap, but FellBehind is not
// set.
func TestFellBehindAfterDeletedRange(t *testing.T) {
	h, l := startLog(t, 30, 10)
	all, quiet, slow := subscribeToLog(t, h, ">", after(20)), subscribeToLog(t, h, "t.5", after(20)), subscribeToLog(t, h, "t.5", after(20))
	for _, s := range []*logReader{all, quiet} {
		require.NotEmpty(t, s.next(t).Events)
		require.Empty(t, s.next(t).Events)
	}
	require.Empty(t, slow.Read(ReadLimit{0, 1}).Events)
	_, err := h.Publish(t.Context(), &Event{Topic: "t.6", Data: []byte("1")})
	require.NoError(t, err)
	require.Len(t, all.next(t).Events, 1)
	for _, seq := range []uint64{40, 50} {
		l.withLock(func() {
			for uint64(len(l.log.events)) < seq {
				l.log.events = append(l.log.events, &Event{ID: Cursor{1, uint64(len(l.log.events)) + 1}, Topic: "t.5"})
			}
			l.log.gone = seq
		})
		l.deliver([]*Event{{ID: Cursor{1, seq}}})
	}
	for s, fellBehind := range map[*logReader]bool{all: false, quiet: false, slow: true} {
		batch := s.next(t)
		require.NotNil(t, batch.Gap)
		require.Equal(t, uint64(50), batch.Gap.ResumedAt.Seq)
		require.Equal(t, fellBehind, batch.FellBehind)
	}
}

// A deleted range does not count as a published event.
func TestDeletedRangeIsNotPublished(t *testing.T) {
	h, l := startLog(t, 3, 10)
	l.deliver([]*Event{{ID: Cursor{1, 7}}})
	require.EqualValues(t, 3, h.Stats().Published)
	require.EqualValues(t, 7, h.Position().Seq)
}
