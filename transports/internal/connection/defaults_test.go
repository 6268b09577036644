package connection_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
)

// If the configuration sets no write timeout, the default applies: a reader whose buffer is full is
// not disconnected at once.
func TestSharedHasDefaults(t *testing.T) {
	s := connection.Shared{Hub: new(hub.Hub)}
	require.NoError(t, s.Complete("sse", 0))
	require.Equal(t, connection.DefaultWriteTimeout, s.WriteTimeout)
	require.Equal(t, connection.DefaultHeartbeat, s.Registry.Heartbeat())
	require.NotNil(t, s.Counters)

	other := connection.Shared{Hub: s.Hub, Registry: s.Registry, Counters: s.Counters, WriteTimeout: s.WriteTimeout}
	require.NoError(t, other.Complete("sse", 0))
	other.Close()
	s.Registry.Go(func() {}) // panics if other.Close has closed the registry that was passed in
	require.Nil(t, s.Draining())
	s.Close()
}
