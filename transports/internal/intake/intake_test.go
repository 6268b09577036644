package intake

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const mebibyte = 1 << 20

func TestBudgetSizes(t *testing.T) {
	for largest, want := range map[int64][2]int64{
		1:              {128 * mebibyte, 32 * mebibyte},
		32 * mebibyte:  {128 * mebibyte, 32 * mebibyte},
		100 * mebibyte: {400 * mebibyte, 100 * mebibyte},
		math.MaxInt64:  {128 * mebibyte, 128 * mebibyte},
	} {
		b := New(largest)
		require.Equal(t, want, [2]int64{b.total, b.share})
	}
}

func TestShareAndTotalAreLimited(t *testing.T) {
	b := New(1)
	var held []*Reservation
	take := func(sender string, size int64) error {
		r := b.Open(sender, SmallSize)
		held = append(held, r)
		return r.Resize(size)
	}
	require.NoError(t, take("a", 16*mebibyte))
	require.NoError(t, take("a", 16*mebibyte))
	full := &FullError{Share: true, Limit: 32 * mebibyte}
	require.Equal(t, full, take("a", 16*mebibyte))
	require.NoError(t, take("a", SmallSize), "memory that is not counted must always be accepted")
	require.NoError(t, take("b", 32*mebibyte))
	require.NoError(t, take("c", 32*mebibyte))
	require.Equal(t, &FullError{Limit: 96 * mebibyte}, take("d", 16*mebibyte), "a large body must leave a quarter of the budget for small bodies")
	for range 512 - 4 {
		message := b.Open("d", 0)
		held = append(held, message)
		if err := message.Resize(SmallSize); err != nil {
			require.Equal(t, &FullError{Share: true, Limit: 40 * mebibyte}, err)
			break
		}
	}
	stats := b.Stats()
	require.Equal(t, uint64(1), stats.Refused["receiving"])
	require.Positive(t, stats.Taken)
	for _, r := range held {
		r.Close()
		r.Close()
		require.NoError(t, r.Resize(mebibyte), "a closed reservation must not count memory")
	}
	stats = b.Stats()
	require.Zero(t, stats.Taken)
	require.Zero(t, stats.Senders)
}

func TestResize(t *testing.T) {
	b := New(1)
	r := b.Open("a", 100)
	for _, row := range []struct{ size, counted int64 }{{100, 0}, {101, 1}, {1000, 900}, {500, 400}, {0, 0}, {200, 100}} {
		require.NoError(t, r.Resize(row.size))
		require.Equal(t, row.counted, b.Stats().Taken)
	}
	require.Error(t, r.Resize(64*mebibyte))
	require.EqualValues(t, 100, b.Stats().Taken, "an error must not change the size")
	r.Close()
	require.Zero(t, b.Stats().Taken)
}

// After many senders have reserved and released memory concurrently, no reservation is left.
func TestConcurrentReleasesAreExact(t *testing.T) {
	b := New(1)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range int64(1000) {
				r := b.Open(string(rune('a'+i%3)), n%2*SmallSize)
				for size := int64(512); size < 20*mebibyte && r.Resize(size) == nil; size *= 2 {
				}
				all.Go(r.Close)
				r.Close()
			}
		})
	}
	all.Wait()
	require.Zero(t, b.Stats().Taken)
	require.Zero(t, b.Stats().Senders)
}

func TestNilBudget(t *testing.T) {
	var b *Budget
	r := b.Open("a", 0)
	require.NoError(t, r.Resize(math.MaxInt64))
	r.Close()
	b.CountLate()
	(*Reservation)(nil).Close()
}

func TestTimeFor(t *testing.T) {
	require.Equal(t, time.Minute, TimeFor(1000, 10*time.Second))
	require.Equal(t, 220*time.Second, TimeFor(16*mebibyte, 10*time.Second))
	require.Zero(t, TimeFor(mebibyte, 0))
}
