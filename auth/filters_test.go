package auth

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// largeSet returns a set of 64 filters that is different for each n.
func largeSet(t *testing.T, n int) hub.FilterSet {
	var filters []hub.Filter
	for i := range 64 {
		f, err := hub.ParseFilter(fmt.Sprintf("*.%d.%d.x", n, i))
		require.NoError(t, err)
		filters = append(filters, f)
	}
	return hub.NewFilterSet(filters...)
}

// The memory of the filters of one token's connections is limited. Equal sets count once. Filters
// that were replaced or whose connection has closed do not count, and neither do small sets.
func TestFilterLimits(t *testing.T) {
	size := filterBytes(largeSet(t, 1))
	require.Positive(t, size)
	b := newBook("one", "two")
	g := New(Config{Verifier: b, Limits: ConnectionLimits{FilterBytes: 3*size + size/2, FilterBytesPerToken: 2*size + size/2}})
	hold := func(token string) (*tokenAccess, *holder) {
		access, h := accessOf(t, g, token, "192.0.2.1"), new(holder)
		require.NoError(t, access.acquire(h))
		return access, h
	}
	first, a := hold("one")
	second, b2 := hold("one")
	third, c := hold("one")
	require.NoError(t, first.reserveFilters(a, largeSet(t, 1)))
	require.NoError(t, second.reserveFilters(b2, largeSet(t, 2)))
	require.NoError(t, third.reserveFilters(c, largeSet(t, 2)), "equal sets of one token count once")
	requireLimit(t, third.reserveFilters(c, largeSet(t, 3)), LimitFilterBytesPerToken)
	require.NoError(t, third.reserveFilters(c, hub.NewFilterSet(hub.Everything)))

	other, d := hold("two")
	last, e := hold("two")
	require.NoError(t, other.reserveFilters(d, largeSet(t, 1)), "filters of another token are counted separately")
	requireLimit(t, last.reserveFilters(e, largeSet(t, 2)), LimitFilterBytes)
	require.Equal(t, 3*size, g.Stats().FilterBytes)
	require.NoError(t, first.reserveFilters(a, largeSet(t, 4)), "new filters replace the old ones")
	require.Equal(t, 3*size, g.Stats().FilterBytes)

	fresh, err := other.renew(t.Context(), "one")
	require.NoError(t, err)
	requireLimit(t, fresh.acquire(d), LimitFilterBytesPerToken)
	fresh.Done()
	first.Release(a)
	fresh, err = other.renew(t.Context(), "one")
	require.NoError(t, err)
	require.NoError(t, fresh.acquire(d), "a renewed session keeps the filters")
	fresh.Done()
	other.Release(d)
	require.Equal(t, 2*size, g.Stats().FilterBytes)
	fresh.Release(d)
	for _, end := range []struct {
		access *tokenAccess
		holder *holder
	}{{second, b2}, {third, c}, {last, e}} {
		end.access.Release(end.holder)
		require.NoError(t, end.access.reserveFilters(end.holder, largeSet(t, 5)), "closed connections do not count")
	}
	require.Zero(t, g.Stats().FilterBytes)
}
