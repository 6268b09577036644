package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// The filter sets of a token with many filters are built only for its first request. The memory of
// all cached sets is limited.
func TestGrantsAreCached(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	j, err := NewJWT(JWTConfig{Keys: Keys{Secret: secret}})
	require.NoError(t, err)
	key, err := NewSecretKey(secret)
	require.NoError(t, err)
	var filters []hub.Filter
	for i := range 500 {
		f, err := hub.ParseFilter(fmt.Sprintf("t.*.%d", i))
		require.NoError(t, err)
		filters = append(filters, f)
	}
	mint := func(subject string, filters []hub.Filter) string {
		token, err := key.Mint("", Claims{Subject: subject, Expires: time.Now().Add(time.Hour), Subscribe: filters})
		require.NoError(t, err)
		return token
	}
	token := mint("a", filters)
	first, err := j.Verify(t.Context(), nil, token)
	require.NoError(t, err)
	again, err := j.Verify(t.Context(), nil, token)
	require.NoError(t, err)
	require.Same(t, first.Grant, again.Grant)
	require.Equal(t, "jwt:sub:a", first.Grant.Subject)

	few := mint("b", filters[:1])
	one, err := j.Verify(t.Context(), nil, few)
	require.NoError(t, err)
	two, err := j.Verify(t.Context(), nil, few)
	require.NoError(t, err)
	require.NotSame(t, one.Grant, two.Grant, "small grants are not cached")
	const grants = 300 // more than the cache can hold
	for i := range grants {
		_, err := j.Verify(t.Context(), nil, mint(fmt.Sprint(i), filters))
		require.NoError(t, err)
		require.LessOrEqual(t, j.grants.bytes, maxGrantBytes)
	}
	require.Less(t, len(j.grants.byHash), grants)
	require.Positive(t, len(j.grants.byHash))
}
