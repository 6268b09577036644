package hub

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flakyEngine is an engine whose Publish first calls a function that the test sets.
type flakyEngine struct {
	Engine
	before func() error
}

func (f *flakyEngine) Publish(ctx context.Context, events []*Event) (Cursor, error) {
	if err := f.before(); err != nil {
		return Cursor{}, err
	}
	return f.Engine.Publish(ctx, events)
}

// startHub starts a hub and closes it at the end of the test.
func startHub(t *testing.T, cfg Config) *Hub {
	t.Helper()
	h, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

func TestPublishOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, Config{})
		claim := func(subject, key string, events ...*Event) (Receipt, error) {
			return h.PublishOnce(t.Context(), subject, key, events...)
		}
		order := func() []*Event {
			return []*Event{{Topic: "a", Type: "t", Key: "k", Data: []byte("1")}, {Topic: "b", Data: []byte("2")}}
		}
		first, err := claim("s", "k", order()...)
		require.NoError(t, err)
		require.Equal(t, Receipt{Last: Cursor{h.epoch, 2}, Count: 2}, first)

		time.Sleep(2*time.Minute - time.Nanosecond)
		again, err := claim("s", "k", order()...)
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Equal(t, uint64(2), h.Position().Seq, "nothing is published twice")

		// Two requests are different if any member that a publisher sets is different, or if equal
		// bytes are divided differently among the members.
		for _, other := range [][]*Event{
			order()[:1],
			{order()[1], order()[0]},
			{{Topic: "c", Type: "t", Key: "k", Data: []byte("1")}, order()[1]},
			{{Topic: "a", Type: "u", Key: "k", Data: []byte("1")}, order()[1]},
			{{Topic: "a", Type: "t", Key: "l", Data: []byte("1")}, order()[1]},
			{{Topic: "a", Type: "t", Key: "k", Data: []byte("3")}, order()[1]},
			{{Topic: "a", Type: "t", Key: "k", Data: []byte("1"), Encoding: Text}, order()[1]},
			{{Topic: "a", Type: "tk", Data: []byte("1")}, order()[1]},
		} {
			_, err = claim("s", "k", other...)
			require.ErrorIs(t, err, ErrKeyReused)
		}

		sparse, err := claim("other", "k", order()...)
		require.NoError(t, err)
		require.Equal(t, uint64(4), sparse.Last.Seq, "equal keys of two subjects are different keys")

		time.Sleep(time.Nanosecond)
		require.Equal(t, 1, h.Stats().IdempotencyKeys, "expired keys are removed")
		anew, err := claim("s", "k", order()[0])
		require.NoError(t, err)
		require.Equal(t, Receipt{Last: Cursor{h.epoch, 5}, Count: 1}, anew)
	})
}

func TestFailedPublishFreesItsKey(t *testing.T) {
	unavailable := true
	h := startHub(t, Config{Engine: &flakyEngine{Engine: NewMemory(), before: func() error {
		if unavailable {
			return ErrUnavailable
		}
		return nil
	}}})
	_, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a"})
	require.ErrorIs(t, err, ErrUnavailable)
	_, err = h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "not a topic"})
	requireInvalid(t, "topic", "white space", err)
	require.Zero(t, h.Stats().IdempotencyKeys)
	unavailable = false
	receipt, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "b"})
	require.NoError(t, err)
	require.Equal(t, uint64(1), receipt.Last.Seq)
}

func TestConcurrentPublishOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := startHub(t, Config{Engine: &flakyEngine{Engine: NewMemory(), before: func() error { <-release; return nil }}})
		const callers = 20
		var (
			calls   sync.WaitGroup
			mu      sync.Mutex
			outcome = make(map[error]int)
		)
		for range callers {
			calls.Go(func() {
				_, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a"})
				mu.Lock()
				defer mu.Unlock()
				outcome[err]++
			})
		}
		synctest.Wait()
		time.Sleep(5 * time.Minute) // a key that is still being published does not expire
		_, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a"})
		require.ErrorIs(t, err, ErrKeyInUse)
		close(release)
		calls.Wait()
		require.Equal(t, map[error]int{nil: 1, ErrKeyInUse: callers - 1}, outcome)
		require.Equal(t, uint64(1), h.Position().Seq)
	})
}

// A request claims its idempotency key before the hub has read the events of the request. The request may end
// without publishing.
func TestKeyClaim(t *testing.T) {
	h := startHub(t, Config{})
	claim, err := h.ClaimKey("s", "k")
	require.NoError(t, err)
	_, err = h.ClaimKey("s", "k")
	require.ErrorIs(t, err, ErrKeyInUse)
	claim.Abandon()
	require.Zero(t, h.Stats().IdempotencyKeys)

	claim, err = h.ClaimKey("s", "k")
	require.NoError(t, err)
	first, err := claim.Publish(t.Context(), &Event{Topic: "a"})
	require.NoError(t, err)
	claim.Abandon() // has no effect after Publish
	for range 2 {
		known, err := h.ClaimKey("s", "k")
		require.NoError(t, err)
		known.Abandon() // the receipt stays recorded
	}
	again, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a"})
	require.NoError(t, err)
	require.Equal(t, first, again)

	_, err = h.PublishOnce(t.Context(), "s", "refused", &Event{Topic: "*"})
	require.Error(t, err)
	next, err := h.ClaimKey("s", "refused")
	require.NoError(t, err)
	next.Abandon()
	(*KeyClaim)(nil).Abandon()
}

func TestKeysAreKeptUntilTheyExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, Config{Retention: Retention{Events: 1}})
		claim := func(subject, key string) error {
			_, err := h.PublishOnce(t.Context(), subject, key, &Event{Topic: "a"})
			return err
		}
		// take claims keys for a subject until the hub refuses one or limit keys are claimed. It
		// returns the number of claimed keys.
		take := func(subject string, limit int) (n int) {
			for n < limit && claim(subject, strconv.Itoa(n)) == nil {
				n++
			}
			return n
		}
		const share = MaxIdempotencyKeys / (keyShare + 1)
		require.Equal(t, share/2, take("s", share/2))
		time.Sleep(time.Minute)
		require.Equal(t, share, take("s", MaxIdempotencyKeys))
		err := claim("s", "one more")
		require.ErrorIs(t, err, ErrKeysFull)
		require.ErrorContains(t, err, "20000 for this token, its share of 100000")
		require.NoError(t, claim("s", "0"), "a known key returns its receipt")
		require.Equal(t, uint64(share), h.Position().Seq)
		require.NoError(t, claim("other", "0"), "other subjects have their own share")

		time.Sleep(time.Minute)
		require.Equal(t, share/2+1, h.Stats().IdempotencyKeys)
		require.NoError(t, claim("s", "one more"))
		require.NoError(t, claim("s", "0"))
	})
}

// Keys that the publisher did not request, such as the ID of a CloudEvent, use at most half of the
// subject's share. After that, events are published without a key.
func TestClaimKeyIfSpare(t *testing.T) {
	h := startHub(t, Config{Retention: Retention{Events: 1}})
	publish := func(key string) Cursor {
		claim, err := h.ClaimKeyIfSpare("s", key)
		require.NoError(t, err)
		if claim == nil {
			return Cursor{}
		}
		receipt, err := claim.Publish(t.Context(), &Event{Topic: "a"})
		require.NoError(t, err)
		return receipt.Last
	}
	const spare = MaxIdempotencyKeys/(2*keyShare+1) + 1
	for i := range spare {
		require.NotZero(t, publish(strconv.Itoa(i)))
	}
	require.Zero(t, publish("one more"))
	require.Equal(t, uint64(1), h.Stats().KeysSpared)
	require.Equal(t, uint64(1), publish("0").Seq, "a known key returns its receipt")
	_, err := h.PublishOnce(t.Context(), "s", "a requested key may use the other half", &Event{Topic: "a"})
	require.NoError(t, err)
	require.Equal(t, uint64(spare+1), h.Position().Seq)
}

// Greedy subjects, which claim as many keys as they can, never prevent a new subject from claiming
// its first key. When the oldest keys have expired, all greedy subjects hold about the same number.
func TestKeyShares(t *testing.T) {
	k, now := newIdempotency(), time.Now()
	claim := func(subject, key string) error {
		id := k.idOf(subject, key)
		if _, err := k.claim(k.idOf(subject), id, 1, now); err != nil {
			return err
		}
		k.complete(id, Digest{}, Receipt{}, now)
		return nil
	}
	const greedy = 20
	n := 0
	for batch := range 3 {
		for i := range greedy {
			for claim(strconv.Itoa(i), strconv.Itoa(n)) == nil {
				n++
			}
			require.NoError(t, claim(fmt.Sprint("newcomer", batch, i), "k"))
			now = now.Add(time.Second)
		}
		now = now.Add(IdempotencyPeriod / 2)
	}
	now = now.Add(IdempotencyPeriod)
	for again := true; again; { // the greedy subjects claim keys alternately
		again = false
		for i := range greedy {
			n++
			again = claim(strconv.Itoa(i), strconv.Itoa(n)) == nil || again
		}
	}
	for i := range greedy {
		require.InDelta(t, MaxIdempotencyKeys/(greedy+keyShare), k.held[k.idOf(strconv.Itoa(i))], 1)
	}
	require.Greater(t, MaxIdempotencyKeys-len(k.records), MaxIdempotencyKeys/10, "many keys stay free")
	now = now.Add(IdempotencyPeriod)
	require.Zero(t, k.len(now))
	require.Empty(t, k.held)
}

// The memory of keys is bounded in bytes, however long the keys and subjects are.
func TestKeyMemoryIsBounded(t *testing.T) {
	k, now := newIdempotency(), time.Now()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	long := strings.Repeat("x", 4000)
	for i := range MaxIdempotencyKeys {
		subject, key := fmt.Sprint(i, long), fmt.Sprint(i, long[:MaxIdempotencyKeyLen])
		id := k.idOf(subject, key)
		_, err := k.claim(k.idOf(subject), id, 1, now)
		require.NoError(t, err)
		k.complete(id, Digest{}, Receipt{}, now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d keys of different subjects: %d MiB", MaxIdempotencyKeys, took>>20)
	require.Less(t, took, int64(32<<20))
	_, err := k.claim(k.idOf("one more"), k.idOf("one more", "k"), 1, now)
	require.ErrorContains(t, err, "100000 in total, the limit of the hub")
	runtime.KeepAlive(k)
}

// The test counts the keys that are removed between two releases of the lock. When the lock is released
// for the first time, the test publishes with a key that has expired but is not removed yet.
func TestExpiringKeysReleasesTheLock(t *testing.T) {
	k := newIdempotency()
	const keys = 20_000
	begin := time.Now()
	id := func(i int) keyID { return keyID{uint64(i), 1} }
	for i := range keys {
		_, err := k.claim(keyID{uint64(i)}, id(i), 1, begin)
		require.NoError(t, err)
		k.complete(id(i), Digest{}, Receipt{Count: i}, begin)
	}
	left := func() int {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.records)
	}
	holds, before := 0, left()
	over := begin.Add(IdempotencyPeriod)
	k.yielded = func() {
		now := left()
		assert.LessOrEqual(t, before-now, maxExpired)
		holds, before = holds+1, now
		if holds == 1 {
			k.yielded = nil
			known, err := k.claim(keyID{7}, id(keys-1), 1, over)
			assert.NoError(t, err)
			assert.Nil(t, known, "no record is returned for an expired key")
			k.complete(id(keys-1), Digest{}, Receipt{Count: 1}, over)
		}
	}
	known, err := k.claim(keyID{8}, id(keys+1), 1, over)
	require.NoError(t, err)
	require.Nil(t, known)
	require.Equal(t, 1, holds)
	require.Equal(t, 2, k.len(over))
	known, err = k.claim(keyID{7}, id(keys-1), 1, over)
	require.NoError(t, err)
	require.Equal(t, 1, known.receipt.Count)
}
