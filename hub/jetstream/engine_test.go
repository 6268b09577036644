package jetstream

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFailsOnce: who has been told why the engine ended is not told again, nor anything else.
func TestFailsOnce(t *testing.T) {
	e, err := New(Config{Store: t.TempDir()})
	require.NoError(t, err)
	e.fail(errors.New("first"))
	require.ErrorContains(t, <-e.Failed(), "first")
	e.fail(errors.New("second"))
	require.Empty(t, e.Failed())
	require.ErrorContains(t, e.unavailable, "first")
	require.NoError(t, e.Close())
}
