package connection_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
)

// Without a limit in the configuration a reader whose buffer is full has the default time, and is not closed at once.
func TestSharedHasDefaults(t *testing.T) {
	s := connection.Shared{Hub: new(hub.Hub)}
	own, err := s.Complete("sse")
	require.NoError(t, err)
	require.True(t, own)
	defer s.Registry.Close()
	require.Equal(t, connection.DefaultWriteTimeout, s.WriteTimeout)
	require.Equal(t, connection.DefaultHeartbeat, s.Registry.Heartbeat())
	require.NotNil(t, s.Counters)

	again := s
	own, err = again.Complete("sse")
	require.NoError(t, err)
	require.False(t, own, "the registry is the caller's")
	require.Equal(t, s, again)
}
