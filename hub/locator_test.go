package hub

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// countedLog is a log that counts the calls of the methods that determine start positions.
type countedLog struct {
	*sliceLog
	calls map[string]int
	err   error
}

func (l *countedLog) count(call string) error {
	l.calls[call]++
	return l.err
}

func (l *countedLog) LastSeq(context.Context) (uint64, error) { return 7, l.count("LastSeq") }

func (l *countedLog) SeqAt(context.Context, time.Time) (uint64, error) { return 5, l.count("SeqAt") }

func (l *countedLog) Count(context.Context, FilterSet, int) (int, error) { return 0, l.count("Count") }

// Subscriptions with equal starts share a search that has not read the log yet. A search that has read
// the log accepts no further subscriptions, because the log may have grown since.
func TestEqualStartsShareOneSearch(t *testing.T) {
	since, set := time.Unix(1000, 0).UTC(), setOf("a")
	for call, question := range map[string]startQuestion{
		"LastSeq": {origin: byCursor}, "SeqAt": {origin: byTime, since: since}, "Count": {origin: byLast, last: newestEvents{set, 10, 2, 90, 80}},
	} {
		t.Run(call, func(t *testing.T) {
			log := &countedLog{sliceLog: new(sliceLog), calls: make(map[string]int), err: ErrUnavailable}
			l := newLocator(newReplayReader(log, 10))
			const n = 10_000
			subs, searches := make([]*subscriber, n+1), make([]*startSearch, n+1)
			join := func(i int) {
				subs[i] = &subscriber{sink: new(countingSink)}
				searches[i] = l.find(subs[i], question)
			}
			for i := range n {
				join(i)
			}
			_, err := l.advanceNext(t.Context())
			require.ErrorIs(t, err, ErrUnavailable)
			require.Equal(t, 1, l.queue.Len())
			join(n)
			l.abandon(subs[0], searches[0])
			log.err = nil
			for more := true; more; {
				more, err = l.advanceNext(t.Context())
				require.NoError(t, err)
			}
			for i, s := range subs {
				require.True(t, searches[i].done.Load())
				require.Equal(t, min(i, 1), s.sink.(*countingSink).woken)
			}
			require.Equal(t, map[string]int{call: 3}, log.calls, "one failed call, one for the first search and one for the later search")
			require.Empty(t, l.open)
		})
	}
}

// A search ends when the last subscription that waits for it is closed, regardless of its progress.
func TestAbandonedSearchesEnd(t *testing.T) {
	l := newLocator(newReplayReader(&countedLog{sliceLog: new(sliceLog), calls: make(map[string]int), err: errors.New("failed")}, 10))
	s := &subscriber{sink: new(countingSink)}
	for _, begun := range []bool{false, true} {
		search := l.find(s, startQuestion{origin: byCursor})
		if begun {
			_, err := l.advanceNext(t.Context())
			require.Error(t, err)
		}
		l.abandon(s, search)
		more, err := l.advanceNext(t.Context())
		require.NoError(t, err)
		require.False(t, more)
		require.Empty(t, l.open)
	}
}

// Finding start positions in the durable log does not take one goroutine per subscriber. A search that
// reads the whole log does not delay the searches for other starts.
func TestLongSearchDoesNotDelayOtherStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startLog(t, 40*chunkEvents, 10)
		synctest.Wait()
		l.withLock(func() {
			l.readTime = time.Millisecond
			l.log.events[0].Topic = "none.0"
		})
		before := runtime.NumGoroutine()
		long := subscribeToLog(t, h, "none.*", Start{Last: 5})
		var subs []*logReader
		for i := range 300 {
			subs = append(subs, subscribeToLog(t, h, fmt.Sprint("t.", i%10), []Start{{Since: time.Unix(1, int64(i))}, {Last: 5 + i}, after(uint64(50*chunkEvents + i))}[i%3]))
		}
		require.LessOrEqual(t, runtime.NumGoroutine(), before) // goroutines of earlier tests may end during the test
		for i, s := range subs {
			batch := s.next(t)
			require.Equal(t, i%3 == 2, batch.Gap != nil, "a gap is reported exactly for cursors past the end of the log")
			require.True(t, batch.Gap != nil || len(batch.Events) > 0)
			if i == 0 {
				require.False(t, long.Located())
			}
		}
		require.Len(t, long.next(t).Events, 1)
	})
}
