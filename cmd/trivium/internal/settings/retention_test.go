package settings

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/jetstream"
)

// An event that is larger than the limit of the log is refused as too large, also on 32-bit
// systems.
func TestMaxEventSize(t *testing.T) {
	for _, row := range []struct {
		engine        string
		limit, retain Size
		want          int
	}{
		{EngineMemory, 1 << 20, 1, 1 << 20},
		{EngineMemory, 0, 64 << 20, math.MaxInt},
		{EngineEmbedded, 1 << 20, 64 << 20, 1 << 20},
		{EngineEmbedded, 1 << 20, 64 << 10, 60 << 10},
		{EngineEmbedded, 1 << 20, maxRetainBytes, 1 << 20},
		{EngineNATS, 0, maxRetainBytes, jetstream.MaxEventSize},
	} {
		c := &ServeConfig{
			EngineConfig: EngineConfig{Engine: row.engine}, LimitConfig: LimitConfig{MaxEventBytes: row.limit}, RetainBytes: row.retain,
		}
		require.Equal(t, row.want, c.MaxEventSize(), "%+v", row)
	}
}
