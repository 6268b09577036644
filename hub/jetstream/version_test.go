package jetstream

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

func TestCheckVersion(t *testing.T) {
	for _, version := range []string{server.VERSION, "2.15.2", "2.15.3", "2.16.0", "3.0.0", "2.16.0-RC.1", "a custom build"} {
		require.NoError(t, checkVersion(version), version)
	}
	for _, version := range []string{"2.12.15", "2.14.9", "2.15.1", "2.15.2-RC.1"} {
		require.ErrorContains(t, checkVersion(version), "version 2.15.2 or newer is required", version)
	}
}
