package longpoll_test

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// shutLog is an engine whose log refuses all reads with hub.ErrUnavailable until the test sets open.
type shutLog struct {
	*jetstream.Engine
	open atomic.Bool
}

func (l *shutLog) ReadAfter(ctx context.Context, seq uint64, limit hub.ReadLimit) ([]*hub.Event, error) {
	if !l.open.Load() {
		return nil, hub.ErrUnavailable
	}
	return l.Engine.ReadAfter(ctx, seq, limit)
}

func (l *shutLog) Newest(ctx context.Context, set hub.FilterSet, seq uint64, wanted int) ([]uint64, error) {
	if !l.open.Load() {
		return nil, hub.ErrUnavailable
	}
	return l.Engine.Newest(ctx, set, seq, wanted)
}

func (l *shutLog) ReadEach(ctx context.Context, seqs []uint64, limit hub.ReadLimit) ([]*hub.Event, error) {
	if !l.open.Load() {
		return nil, hub.ErrUnavailable
	}
	return l.Engine.ReadEach(ctx, seqs, limit)
}

// startBehind starts a server and publishes 1,000 events, of which 980 are only in the durable log.
// begin is the position before the events. On a busy machine, NATS may not answer for seconds;
// startBehind then tries another server.
func startBehind(t *testing.T, open bool) (s *tt.Server, begin string) {
	t.Helper()
	for range 5 {
		s = tt.Start(t, tt.Config{Hub: hub.Config{Retention: hub.Retention{Events: 20}}, Engine: func() hub.Engine {
			log := &shutLog{Engine: tt.Must(jetstream.New(jetstream.Config{Store: t.TempDir()}))}
			log.open.Store(open)
			return log
		}})
		begin = s.Hub.Position().String()
		err := publishBehind(t, s)
		if err == nil {
			return s, begin
		}
		require.ErrorIs(t, err, hub.ErrUnavailable)
	}
	require.FailNow(t, "NATS is not available")
	return nil, ""
}

// publishBehind publishes 1,000 events, of which ten have the topic "rare".
func publishBehind(t *testing.T, s *tt.Server) error {
	for i := range 1000 {
		topic := "busy"
		if i%100 == 3 {
			topic = "rare"
		}
		if _, err := s.Hub.Publish(t.Context(), tt.JSON(topic, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}

// foreign is a cursor of another epoch.
const foreign = "00000000-5"

// The answer to a poll with wait=0 contains events that are older than the in-memory log.
func TestPollOlderThanInMemoryLog(t *testing.T) {
	s, begin := startBehind(t, true)
	for query, first := range map[string]string{
		"topic=rare&last=3":                  "703",
		"topic=rare&last=300":                "3",
		"topic=rare&cursor=" + begin:         "3",
		"topic=rare&since=10m":               "3",
		"topic=rare&cursor=" + foreign:       "3",
		"topic=none&topic=rare&last=1&max=1": "903",
	} {
		answer := find(t, s, "wait=0&"+query)
		require.Equal(t, first, string(answer.Events[0].Data), query)
		if last := answer.Events[len(answer.Events)-1]; string(last.Data) != "903" {
			require.Equal(t, last.ID.String(), answer.Cursor, "the cursor must be the last event, because the answer does not contain all events")
		}
	}
}

// find polls until an answer contains events. A poll with wait=0 reads the durable log for less than a
// second. On a busy machine, its answer may be empty or have the status 503, so find polls again.
func find(t *testing.T, s *tt.Server, query string) wire.PollAnswer {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < tt.Patience; {
		response, answer := get(t, s, query)
		if response.StatusCode != http.StatusServiceUnavailable {
			require.Equal(t, http.StatusOK, response.StatusCode, query)
			if len(answer.Events) > 0 {
				return answer
			}
		}
	}
	require.Fail(t, "no answer contains events", query)
	return wire.PollAnswer{}
}

// An answer may contain events of the durable log followed by events of the in-memory log, up to the
// limits of an answer. If reads of the durable log are slow, an answer may contain fewer events; the next
// answer then continues after its last event.
func TestAnswerContinuesIntoInMemoryLog(t *testing.T) {
	s, begin := startBehind(t, true)
	for query, want := range map[string]struct{ events, last int }{
		"last=40":                       {40, 999},
		"last=1000&max=1000":            {1000, 999},
		"cursor=" + begin + "&max=1000": {1000, 999},
		"last=40&max=30":                {30, 989},
		"last=40&max=20":                {20, 979},
	} {
		answer := find(t, s, "wait=0&"+query)
		got := len(answer.Events)
		for got < want.events {
			answer = find(t, s, "wait=0&max="+strconv.Itoa(want.events-got)+"&cursor="+answer.Cursor)
			got += len(answer.Events)
		}
		require.Equal(t, want.events, got, query)
		newest := answer.Events[len(answer.Events)-1]
		require.Equal(t, strconv.Itoa(want.last), string(newest.Data), query)
		require.Equal(t, newest.ID.String(), answer.Cursor, query)
	}
}

// While the durable log cannot be read, the cursor in an answer does not skip events that were not
// delivered.
func TestUnreadableLogKeepsCursor(t *testing.T) {
	t.Parallel()
	s, begin := startBehind(t, false)
	for _, cursor := range []string{begin, foreign} {
		_, answer := get(t, s, "wait=1&topic=rare&cursor="+cursor)
		require.Empty(t, answer.Events)
		require.Equal(t, cursor, answer.Cursor)
	}
	status, waiting := make(chan int), s.Hub.Stats().Subscriptions
	go func() {
		response, _ := get(t, s, "topic=rare&last=2&wait=50")
		status <- response.StatusCode
	}()
	require.Eventually(t, func() bool { return s.Hub.Stats().Subscriptions > waiting }, tt.Patience, time.Millisecond)
	s.Registry.Drain(t.Context(), 0)
	require.Equal(t, http.StatusServiceUnavailable, <-status, "the hub must refuse a poll whose position is still unknown")
}
