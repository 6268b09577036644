package hubtest

import (
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/stretchr/testify/require"
)

// unreclaimable matches the lines of /proc/PID/status about resident memory that the kernel cannot reclaim.
var unreclaimable = regexp.MustCompile(`(?m)^Rss(?:Anon|Shmem):\s*(\d+) kB$`)

// Resident returns the process's resident memory in bytes, without pages that are backed by files, such as the code of
// the program. The number of these pages depends on other processes, because the kernel reclaims them when memory is
// short.
func (p *Process) Resident() (bytes int64) {
	p.T.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	require.NoError(p.T, err)
	found := unreclaimable.FindAllSubmatch(status, -1)
	require.Len(p.T, found, 2, "%s", status)
	for _, match := range found {
		kib, err := strconv.ParseInt(string(match[1]), 10, 64)
		require.NoError(p.T, err)
		bytes += kib << 10
	}
	return bytes
}
