package problems_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/problems"
)

func TestJitter(t *testing.T) {
	const from, to = 2 * time.Second, 4 * time.Second
	low, high := to, from
	for range 1000 {
		d := problems.Jitter(from, to)
		require.GreaterOrEqual(t, d, from)
		require.LessOrEqual(t, d, to)
		low, high = min(low, d), max(high, d)
	}
	require.Less(t, low, from+200*time.Millisecond, "the values must be spread over the whole range")
	require.Greater(t, high, to-200*time.Millisecond)
	require.Equal(t, to, problems.Jitter(to, from))
	require.Equal(t, from, problems.Jitter(from, from))
}
