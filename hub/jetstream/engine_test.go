package jetstream

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// Failed reports only the first error, and only once.
func TestFailedReportsFirstErrorOnly(t *testing.T) {
	e, err := New(Config{Store: t.TempDir()})
	require.NoError(t, err)
	e.fail(errors.New("first"))
	require.ErrorContains(t, <-e.Failed(), "first")
	e.fail(errors.New("second"))
	require.Empty(t, e.Failed())
	require.ErrorContains(t, e.unavailable, "first")
	require.NoError(t, e.Close())
}
