//go:build !race

package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Encoding an event allocates once. The allocation has no spare capacity except for the allocator's
// rounding. The test is not built with the race detector, which makes sync.Pool drop values at random.
func TestEncodingIsOneAllocation(t *testing.T) {
	e := eventVectors(t)[0].event(t)
	e.Data = []byte(`"` + strings.Repeat(`x\n`, 100) + `"`)
	for name, encode := range encoders {
		form := encode(e)
		require.LessOrEqual(t, cap(form), len(form)+len(form)/8+16, name)
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { encode(e) }), 1.0, name)
	}
}
