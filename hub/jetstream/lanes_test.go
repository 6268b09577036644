package jetstream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

func TestLaneServesPublishersAlternately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(10, 1000)
		require.NoError(t, l.enter(t.Context(), "greedy", 100), "a publish above the limit is admitted if it is the only one")
		var mu sync.Mutex
		var order []string
		enter := func(publisher string, n int64) {
			go func() {
				err := l.enter(t.Context(), publisher, n)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					publisher = err.Error()
				}
				order = append(order, publisher)
			}()
			synctest.Wait()
		}
		for range 4 {
			enter("greedy", 10)
		}
		enter("other", 10)
		enter("third", 3)
		require.Empty(t, order)
		l.leave(100)
		for range 5 {
			synctest.Wait()
			l.leave(10)
		}
		synctest.Wait()
		require.Equal(t, []string{"greedy", "other", "third", "greedy", "greedy", "greedy"}, order)
		l.leave(3)
		require.Zero(t, l.underWay)
		require.Zero(t, l.waiting)
		require.Empty(t, l.queues)
		require.Zero(t, l.turns.Len())
	})
}

// The waiting publishes are limited per publisher and in total, and there is always space for other
// publishers.
func TestLaneBoundsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(10, 100)
		require.NoError(t, l.enter(t.Context(), "greedy", 10))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		refused := map[string]int{}
		var mu sync.Mutex
		var waiters sync.WaitGroup
		enter := func(publisher string) {
			waiters.Go(func() {
				if err := l.enter(ctx, publisher, 10); err != nil {
					mu.Lock()
					defer mu.Unlock()
					require.ErrorIs(t, err, hub.ErrOverloaded)
					require.ErrorIs(t, err, hub.ErrUnavailable)
					refused[publisher]++
				}
			})
			synctest.Wait()
		}
		requireRefused := func(when string) {
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, map[string]int{"greedy": 6}, refused, when)
		}
		for range 10 {
			enter("greedy")
		}
		requireRefused("immediately")
		for i := range 5 {
			enter(fmt.Sprint(i))
		}
		requireRefused("while other publishers wait")
		time.Sleep(time.Second)
		waiters.Wait()
		require.Equal(t, 10, refused["greedy"])
		require.Len(t, refused, 6)
		l.leave(10)
		require.Zero(t, l.underWay)
		require.Zero(t, l.waiting)
		require.NoError(t, l.enter(t.Context(), "greedy", 10))
	})
}

func TestLaneIsChosenBySize(t *testing.T) {
	l := newLanes()
	enter := func(sizes ...int) func() {
		var events []*hub.Event
		for _, n := range sizes {
			events = append(events, &hub.Event{Data: make([]byte, n)})
		}
		leave, err := l.enter(hub.WithPublisher(t.Context(), "s"), events)
		require.NoError(t, err)
		return leave
	}
	leaves := []func(){enter(1000), enter(smallPublish / 2), enter(1, 2, 3)}
	require.Zero(t, l.large.underWay)
	require.Positive(t, l.small.underWay)
	leaves = append(leaves, enter(smallPublish))
	require.Equal(t, int64(smallPublish+messageOverhead), l.large.underWay)
	leaves = append(leaves, enter(slices.Repeat([]int{1000}, 100)...))
	require.Equal(t, int64(smallPublish+messageOverhead+minLarge), l.large.underWay)
	for _, leave := range leaves {
		leave()
	}
	require.Zero(t, l.small.underWay)
	require.Zero(t, l.large.underWay)
}

func TestGroupSize(t *testing.T) {
	flight := func(n, size int) int { return groupSize(slices.Repeat([]*hub.Event{{Data: make([]byte, size)}}, n)) }
	require.Equal(t, 1, flight(1, 0))
	require.Equal(t, maxUnacked, flight(2*maxUnacked, 1))
	require.Equal(t, 1, flight(5, 8*maxUnackedBytes))
	require.Equal(t, 3, flight(5, maxUnackedBytes))
}
