package hub

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// flaky is an engine whose Publish does first what the test says.
type flaky struct {
	Engine
	before func() error
}

func (f *flaky) Publish(ctx context.Context, events []*Event) (Cursor, error) {
	if err := f.before(); err != nil {
		return Cursor{}, err
	}
	return f.Engine.Publish(ctx, events)
}

// startHub makes a hub that the test closes with its end.
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
		once := func(subject, key string, events ...*Event) (Receipt, error) {
			return h.PublishOnce(t.Context(), subject, key, events...)
		}
		order := func() []*Event {
			return []*Event{{Topic: "a", Type: "t", Key: "k", Data: []byte("1")}, {Topic: "b", Data: []byte("2")}}
		}
		first, err := once("s", "k", order()...)
		require.NoError(t, err)
		require.Equal(t, Receipt{Last: Cursor{h.epoch, 2}, Count: 2}, first)

		time.Sleep(2*time.Minute - time.Nanosecond)
		again, err := once("s", "k", order()...)
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Equal(t, uint64(2), h.Position().Seq, "nothing is published twice")

		// Every member that a publisher sets tells events apart, and so does where one ends.
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
			_, err = once("s", "k", other...)
			require.ErrorIs(t, err, ErrKeyReused)
		}

		apart, err := once("other", "k", order()...)
		require.NoError(t, err)
		require.Equal(t, uint64(4), apart.Last.Seq, "subjects do not see each other's keys")

		time.Sleep(time.Nanosecond)
		require.Equal(t, 1, h.Stats().IdempotencyKeys, "what has expired is not remembered")
		anew, err := once("s", "k", order()[0])
		require.NoError(t, err)
		require.Equal(t, Receipt{Last: Cursor{h.epoch, 5}, Count: 1}, anew)
	})
}

func TestPublishOnceRemembersNoFailure(t *testing.T) {
	away := true
	h := startHub(t, Config{Engine: &flaky{Engine: NewMemory(), before: func() error {
		if away {
			return ErrUnavailable
		}
		return nil
	}}})
	_, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a"})
	require.ErrorIs(t, err, ErrUnavailable)
	_, err = h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "not a topic"})
	requireInvalid(t, "topic", "white space", err)
	require.Zero(t, h.Stats().IdempotencyKeys)
	away = false
	receipt, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "b"})
	require.NoError(t, err)
	require.Equal(t, uint64(1), receipt.Last.Seq)
}

func TestPublishOnceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := startHub(t, Config{Engine: &flaky{Engine: NewMemory(), before: func() error { <-release; return nil }}})
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
		time.Sleep(5 * time.Minute) // one that is under way does not expire
		_, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a"})
		require.ErrorIs(t, err, ErrKeyBusy)
		close(release)
		calls.Wait()
		require.Equal(t, map[error]int{nil: 1, ErrKeyBusy: callers - 1}, outcome)
		require.Equal(t, uint64(1), h.Position().Seq)
	})
}

// A request claims its key before it has read its events, and may end without publishing.
func TestOnce(t *testing.T) {
	h := startHub(t, Config{})
	once, err := h.Once("s", "k")
	require.NoError(t, err)
	_, err = h.Once("s", "k")
	require.ErrorIs(t, err, ErrKeyBusy)
	once.Abandon()
	require.Zero(t, h.Stats().IdempotencyKeys)

	once, err = h.Once("s", "k")
	require.NoError(t, err)
	first, err := once.Publish(t.Context(), &Event{Topic: "a"})
	require.NoError(t, err)
	once.Abandon() // after the end it is nothing
	for range 2 {
		known, err := h.Once("s", "k")
		require.NoError(t, err)
		known.Abandon() // the answer stays
	}
	again, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a"})
	require.NoError(t, err)
	require.Equal(t, first, again)

	_, err = h.PublishOnce(t.Context(), "s", "refused", &Event{Topic: "*"})
	require.Error(t, err)
	next, err := h.Once("s", "refused")
	require.NoError(t, err)
	next.Abandon()
	(*Once)(nil).Abandon()
}

func TestPublishOnceForgetsNoneEarly(t *testing.T) {
	const remembered = 100_000
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, Config{Retention: Retention{Events: 1}})
		once := func(key string) error {
			_, err := h.PublishOnce(t.Context(), "s", key, &Event{Topic: "a"})
			return err
		}
		for i := range remembered {
			if i == remembered/2 {
				time.Sleep(time.Minute)
			}
			if err := once(strconv.Itoa(i)); err != nil {
				require.NoError(t, err)
			}
		}
		require.ErrorIs(t, once("one more"), ErrKeysFull)
		require.NoError(t, once("0"), "what is known is answered")
		require.Equal(t, uint64(remembered), h.Position().Seq)
		time.Sleep(time.Minute)
		require.Equal(t, remembered/2, h.Stats().IdempotencyKeys)
		require.NoError(t, once("one more"))
		require.NoError(t, once("0"))
		require.Equal(t, uint64(remembered)+2, h.Position().Seq)
	})
}
