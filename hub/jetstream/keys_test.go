package jetstream

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// testKeys checks that another hub accepts an idempotency key only for the same events, even after
// the events have left the log.
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
		follows.Until(receipt.Last.Seq) // a hub has recorded only the keys of events that it has read
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

func TestKeysExpire(t *testing.T) {
	var k keys
	now := time.Now()
	k.add("old", keyedPublish{last: 7, at: now.Add(-hub.IdempotencyPeriod)})
	k.add("ending", keyedPublish{last: 8, at: now.Add(-hub.IdempotencyPeriod + time.Minute)})
	k.add("ending", keyedPublish{last: 9, at: now})
	_, known := k.lookup("old")
	require.False(t, known)
	one, _ := k.lookup("ending")
	require.Equal(t, uint64(8), one.last, "a repeated ID does not replace the first publish")
	for i := range hub.MaxIdempotencyKeys {
		k.add(fmt.Sprint(i), keyedPublish{at: now, publisher: publisherOf(fmt.Sprint(i % 3))})
	}
	require.Len(t, k.order, hub.MaxIdempotencyKeys)
	require.Len(t, k.byID, hub.MaxIdempotencyKeys)
	require.Len(t, k.held, 3)
	_, known = k.lookup("ending")
	require.False(t, known, "the oldest publish is evicted")
	k.evict(now.Add(hub.IdempotencyPeriod), hub.MaxIdempotencyKeys)
	require.Empty(t, k.byID)
	require.Empty(t, k.held)
}

// A subject's publishes through other hubs count toward its share of idempotency keys.
func TestKeySharesCountAllHubs(t *testing.T) {
	var k keys
	greedy, other := publisherOf("greedy"), publisherOf("other")
	n := 0
	for ; k.admit(greedy) == nil; n++ {
		k.add(fmt.Sprint(n), keyedPublish{at: time.Now(), publisher: greedy})
	}
	require.Equal(t, hub.MaxIdempotencyKeys/5, n)
	require.ErrorIs(t, k.admit(greedy), hub.ErrKeysFull)
	require.NoError(t, k.admit(other))

	id := keyID("greedy", "k")
	headers := nats.Header{jetstream.MsgIDHeader: {id}, headerContent: {keyedContent{2, hub.Digest{1}}.String()}, headerPublisher: {hex.EncodeToString(greedy[:])}}
	at := time.Now()
	named, one, ok := keyedOf(headers, 7, at)
	require.True(t, ok)
	require.Equal(t, id, named)
	require.Equal(t, keyedPublish{content: keyedContent{2, hub.Digest{1}}, last: 8, at: at, publisher: greedy}, one)
	for _, text := range []string{"", "2", "x 0a", "2 0a", "-1 " + strings.Repeat("0", 32), "0 " + strings.Repeat("0", 32), "2 " + strings.Repeat("x", 32)} {
		_, _, ok = keyedOf(nats.Header{headerContent: {text}}, 7, at)
		require.False(t, ok, text)
	}
}

// testUnique checks that several hubs store an event with an ID only once, even if they receive it
// at the same time.
func testUnique(t *testing.T, c *cluster) {
	keep := hub.Retention{Events: 10_000}
	cfg := c.config(keep)
	first, _ := startHub(t, cfg, keep)
	other, _ := startHub(t, cfg, keep)
	const n = 600
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprint("id", i))
	}
	publish := func(h *hub.Hub, ids ...string) int {
		var events []*hub.Event
		for i := range ids {
			events = append(events, one(fmt.Sprint("u.", i%7)))
		}
		repeated, err := h.PublishUnique(t.Context(), ids, events...)
		require.NoError(t, err)
		return repeated
	}
	var both sync.WaitGroup
	var repeated atomic.Int64
	for _, h := range []*hub.Hub{first, other} {
		both.Go(func() { repeated.Add(int64(publish(h, ids...))) })
	}
	both.Wait()
	require.Equal(t, int64(n), repeated.Load())
	require.Equal(t, 1, publish(other, "id1", "new"))
	require.Equal(t, 2, publish(first, "id2", "new"))
	last, err := first.Publish(t.Context(), one("end"))
	require.NoError(t, err)
	require.Equal(t, uint64(n+2), last.Seq)
}

// A key whose time is in the future, because the leader's clock was ahead, expires like other keys,
// and does not prevent later keys from expiring.
func TestKeysFromFastClockExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k keys
		one := keyedPublish{content: keyedContent{events: 1}, publisher: publisherHash{1}}
		one.at = time.Now().Add(time.Hour)
		k.add("ahead", one)
		one.at = time.Now()
		k.add("right", one)
		_, known := k.lookup("ahead")
		require.True(t, known)
		time.Sleep(hub.IdempotencyPeriod)
		_, known = k.lookup("ahead")
		require.False(t, known)
		require.NoError(t, k.admit(publisherHash{1}))
		require.Empty(t, k.held)
		require.Empty(t, k.order)
	})
}
