package main

import (
	"os"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// A drain with default settings ends before docker stop would kill the process. It also ends before the
// stop timeouts of the systemd unit and of the compose file in docs/operations.md.
func TestDrainFitsStopTimeouts(t *testing.T) {
	field, ok := reflect.TypeFor[settings.ServeConfig]().FieldByName("Drain")
	require.True(t, ok)
	drain, err := time.ParseDuration(field.Tag.Get("default"))
	require.NoError(t, err)
	end := drain + time.Second // the last connections close a second later, see docs/protocol.md#control-messages
	require.Less(t, end, 10*time.Second)

	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	graces := regexp.MustCompile(`(?m)^\s*(?:TimeoutStopSec=|stop_grace_period: )(\d+)s?\b`).FindAllSubmatch(page, -1)
	require.Len(t, graces, 2)
	for _, grace := range graces {
		wait, err := time.ParseDuration(string(grace[1]) + "s")
		require.NoError(t, err)
		require.Greater(t, wait, end)
	}
}
