package hubtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"
)

// Resident returns the process's resident memory in bytes.
func (p *Process) Resident() int64 {
	p.T.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	require.NoError(p.T, err)
	_, rest, found := strings.Cut(string(status), "VmRSS:")
	require.True(p.T, found)
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(p.T, err)
	return kib << 10
}
