package hubs

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// The hub raises its soft limit on open files to the hard limit. If the hard limit is too low for
// --max-connections, the hub logs a warning and allows fewer connections.
func TestLowLimitOfOpenFiles(t *testing.T) {
	p := hubtest.LimitFiles(t, hubtest.Start, 300, hubtest.Binary(t, hubtest.AnyPorts...))
	require.Contains(t, p.Log(), `"max_connections":100000,"lowered_to":177`)
	raised := hubtest.Binary(t, append(hubtest.AnyPorts, "--max-connections", "1000")...)
	p = hubtest.LimitFiles(t, hubtest.Start, 4096, raised)
	require.NotContains(t, p.Log(), "lowered_to")
	if limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.Cmd.Process.Pid)); err == nil {
		require.Regexp(t, `Max open files +409[56] +4096`, string(limits))
	}
}
