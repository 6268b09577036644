package settings

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/jetstream"
)

// The maximum size of an event depends on --max-event-bytes and, with a durable engine, on the space in
// the log and the engine's own maximum.
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

// An eighth of the memory of the in-memory log is for encodings. With a durable engine, the memory of
// the in-memory log is limited by a share of the memory limit, and the durable log may use all of
// --retain-bytes.
func TestRetentionShares(t *testing.T) {
	const mebibyte = 1 << 20
	for _, row := range []struct {
		engine                 string
		retain, limit          int64
		memlog, encodings, log int64
	}{
		{EngineMemory, 64 * mebibyte, 100 * mebibyte, 56 * mebibyte, 8 * mebibyte, 64 * mebibyte},
		{EngineMemory, 1, math.MaxInt64, 1, 1, 1}, // 0 would mean the default
		{EngineMemory, 7, math.MaxInt64, 6, 1, 7},
		{EngineEmbedded, 1 << 40, math.MaxInt64, 56 * mebibyte, 8 * mebibyte, 1 << 40},
		{EngineEmbedded, 64 * mebibyte, 128 * mebibyte, 28 * mebibyte, 4 * mebibyte, 64 * mebibyte},
		{EngineNATS, 64 * mebibyte, 0, mebibyte - mebibyte/8, mebibyte / 8, 64 * mebibyte},
	} {
		c := &ServeConfig{EngineConfig: EngineConfig{Engine: row.engine}, RetainBytes: Size(row.retain)}
		r := c.Retention(row.limit)
		require.Equal(t, [3]int64{row.memlog, row.encodings, row.log}, [3]int64{r.Memlog.Bytes, r.Encodings, r.Log.Bytes}, "%+v", row)
	}
}
