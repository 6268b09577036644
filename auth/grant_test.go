package auth

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

func filterSetOf(t *testing.T, texts ...string) hub.FilterSet {
	t.Helper()
	filters := make([]hub.Filter, len(texts))
	for i, text := range texts {
		var err error
		filters[i], err = hub.ParseFilter(text)
		require.NoError(t, err)
	}
	return hub.NewFilterSet(filters...)
}

func TestGrant(t *testing.T) {
	g := Grant{Subscribe: filterSetOf(t, "orders.*", "a.>"), Publish: filterSetOf(t, "orders.1", "b.>")}
	refused, ok := g.MaySubscribe(filterSetOf(t, "orders.1", "a.*.c"))
	require.True(t, ok, refused)
	refused, ok = g.MaySubscribe(filterSetOf(t, "orders.1", "orders.>"))
	require.False(t, ok)
	require.Equal(t, "orders.>", refused.String())
	require.True(t, g.MayPublish("b.x"))
	require.False(t, g.MayPublish("orders.2"))
	require.False(t, (&Grant{}).MayPublish("a"))
	_, ok = (&Grant{}).MaySubscribe(filterSetOf(t, "a"))
	require.False(t, ok)
}
