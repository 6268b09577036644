//go:build !race

package wire_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each form is made once and kept for long: one allocation, without spare room but the
// allocator's rounding. (The race detector has pools drop things at random.)
func TestFormIsOneAllocation(t *testing.T) {
	e := eventVectors(t)[0].event(t)
	e.Data = []byte(`"` + strings.Repeat(`x\n`, 100) + `"`)
	for name, encode := range encoders {
		form := encode(e)
		require.LessOrEqual(t, cap(form), len(form)+len(form)/8+16, name)
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { encode(e) }), 1.0, name)
	}
}
