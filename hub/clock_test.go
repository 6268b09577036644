package hub

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// clockLog starts a hub with a log of 300 events, one per second. The in-memory log contains the newest
// 150. Events 101 to 200 have times that are an hour ahead, as from a server with a wrong clock.
// clockLog also returns the events as a live subscriber received them.
func clockLog(t *testing.T) (*Hub, *logEngine, []*Event) {
	t.Helper()
	h, l := startLog(t, 0, 150)
	live := subscribeToLog(t, h, ">", Start{})
	var got []*Event
	for i := range 300 {
		time.Sleep(time.Second)
		l.withLock(func() { l.ahead = 0 })
		if i/100 == 1 {
			l.withLock(func() { l.ahead = time.Hour })
		}
		_, err := h.Publish(t.Context(), &Event{Topic: fmt.Sprint("t.", i%10), Data: []byte("1")})
		require.NoError(t, err)
		got = append(got, live.next(t).Events...)
	}
	require.Len(t, got, 300)
	require.True(t, got[200].Time.Before(got[199].Time), "the time of event 201 is earlier than that of event 200")
	return h, l, got
}

// readFromStart returns all events that a subscription with the given start receives.
func readFromStart(t *testing.T, h *Hub, start Start) (events []*Event) {
	t.Helper()
	s := subscribeToLog(t, h, ">", start)
	for {
		b := s.next(t)
		require.Nil(t, b.Gap)
		if len(b.Events) == 0 {
			return events
		}
		events = append(events, b.Events...)
	}
}

func TestLiveAndReplayedTimesAreTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l, live := clockLog(t)
		again, err := New(Config{Engine: &reopenedEngine{logEngine: l, from: 250}, Retention: Retention{Events: 150}})
		require.NoError(t, err)
		defer func() { require.NoError(t, again.Close()) }()
		for _, h := range []*Hub{h, again} {
			replayed := readFromStart(t, h, after(0))
			require.Len(t, replayed, len(live))
			for i, e := range replayed {
				require.Equal(t, l.log.events[i].Time, e.Time)
				require.Equal(t, live[i].Time, e.Time)
			}
		}
	})
}

// If a subscription starts at a time, its first event is the first one in the log whose time is the start
// time or later. This holds on every hub, whether that event is in the in-memory log or only in the durable
// log.
func TestSinceBeginsAtFirstEventWhenTimesDecrease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l, live := clockLog(t)
		again, err := New(Config{Engine: &reopenedEngine{logEngine: l, from: 250}, Retention: Retention{Events: 150}})
		require.NoError(t, err)
		defer func() { require.NoError(t, again.Close()) }()
		for _, h := range []*Hub{h, again} {
			for _, row := range []struct {
				name  string
				since time.Time
				first int // index of the first event to be delivered
			}{
				{"before the wrong clock", live[30].Time, 30},
				{"between correct and wrong clock", live[99].Time.Add(time.Minute), 100},
				{"the first wrong time", live[100].Time, 100},
				{"a wrong time, in memory", live[180].Time, 180},
				{"a correct time, in memory", live[250].Time, 100},
			} {
				got := readFromStart(t, h, Start{Since: row.since})
				require.Len(t, got, len(live)-row.first, row.name)
				require.Equal(t, live[row.first].ID, got[0].ID, row.name)
			}
		}
	})
}

// If a server's clock is an hour ahead, its events do not make other events expire early. They are also not
// kept longer than the retention age.
func TestRetentionByAgeWhenTimesDecrease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startLog(t, 0, 1000)
		publish := func() {
			_, err := h.Publish(t.Context(), &Event{Topic: "a", Data: []byte("1")})
			require.NoError(t, err)
		}
		kept := func() int {
			synctest.Wait()
			h.mu.RLock()
			defer h.mu.RUnlock()
			return h.memlog.events.len()
		}
		publish()
		l.withLock(func() { l.ahead = time.Hour })
		publish()
		l.withLock(func() { l.ahead = 0 })
		time.Sleep(time.Minute)
		publish()
		require.Equal(t, 3, kept(), "events younger than ten minutes are kept")
		time.Sleep(DefaultRetainAge - time.Minute + time.Second)
		require.Equal(t, 1, kept())
		time.Sleep(time.Minute)
		require.Zero(t, kept())
	})
}

// reopenedEngine uses the log of another engine, as an engine does after a restart. It delivers the events
// whose seq is greater than the field from.
type reopenedEngine struct {
	*logEngine
	from uint64
}

func (r *reopenedEngine) Start(deliver func([]*Event)) (Cursor, error) {
	events, err := r.log.ReadAfter(context.Background(), r.from, ReadLimit{Events: 1000})
	if err == nil {
		go deliver(events)
	}
	return Cursor{1, r.from}, err
}
