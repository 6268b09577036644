package jetstream

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// testKeys: a key is good on another hub when its events are not in the log any more, for the same events
// alone.
func testKeys(t *testing.T, c *cluster) {
	keep := hub.Retention{Events: 10}
	cfg := c.config(keep)
	first, _ := startHub(t, cfg, keep)
	other, _ := startHub(t, cfg, keep)
	follows := enginetest.Subscribe(t, other, hub.Request{Filters: enginetest.Set(t, ">")})
	for _, n := range []int{1, 4} {
		order := func(topic string) (events []*hub.Event) {
			for i := range n {
				events = append(events, one(fmt.Sprint(topic, ".", i)))
			}
			return events
		}
		key := fmt.Sprint("k", n)
		receipt, err := first.PublishOnce(t.Context(), "s", key, order("o")...)
		require.NoError(t, err)
		follows.Until(receipt.Last.Seq) // what is gone before it came by nobody knows
		var last hub.Cursor
		for range 2 * keep.Events {
			last, err = first.Publish(t.Context(), one("more"))
			require.NoError(t, err)
		}
		follows.Until(last.Seq)
		_, err = other.PublishOnce(t.Context(), "s", key, order("another")...)
		require.ErrorIs(t, err, hub.ErrKeyReused)
		again, err := other.PublishOnce(t.Context(), "s", key, order("o")...)
		require.NoError(t, err)
		require.Equal(t, receipt, again)
		_, err = other.PublishOnce(t.Context(), "another", key, order("another")...)
		require.NoError(t, err)
	}
}

func TestKeysEnd(t *testing.T) {
	var k keys
	now := time.Now()
	k.note("old", keyed{"1 a", 7, now.Add(-hub.IdempotencyPeriod)})
	k.note("ending", keyed{"1 b", 8, now.Add(-hub.IdempotencyPeriod + time.Minute)})
	k.note("ending", keyed{"1 c", 9, now})
	_, known := k.find("old")
	require.False(t, known)
	one, _ := k.find("ending")
	require.Equal(t, "1 b", one.once, "the first of the name")
	for i := range hub.MaxIdempotencyKeys {
		k.note(fmt.Sprint(i), keyed{"1 d", 1, now})
	}
	require.Len(t, k.order, hub.MaxIdempotencyKeys)
	require.Len(t, k.byID, hub.MaxIdempotencyKeys)
	_, known = k.find("ending")
	require.False(t, known, "the oldest goes")
}
