package enginetest

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// runMemory checks that the memory of a hub does not grow with the number of events.
func runMemory(t *testing.T, long bool, newEngine func(*testing.T, hub.Retention) hub.Engine) {
	events := 20_000
	if long {
		events = 1_000_000
	}
	t.Run("bounded memory", func(t *testing.T) {
		withHub(t, newEngine, hub.Retention{Events: 10_000}, func(t *testing.T, h *hub.Hub) { testMemoryIsBounded(t, h, events) })
	})
}

// testMemoryIsBounded checks that memory does not grow with the number of events published.
func testMemoryIsBounded(t *testing.T, h *hub.Hub, total int) {
	const size = 500
	topics := make([]string, size)
	for i := range topics {
		topics[i] = fmt.Sprint("t.", i)
	}
	r := Subscribe(t, h, hub.Request{Filters: Set(t, ">")})
	var last hub.Cursor
	var used, grown uint64
	for i := range total / size {
		var err error
		last, err = h.PublishEach(t.Context(), batchOf(topics...)...)
		require.NoError(t, err)
		r.Until(last.Seq)
		require.Empty(t, r.Gaps)
		require.Len(t, r.Events, size)
		r.Events = r.Events[:0]
		if i == total/size/4 {
			used = heapInUse()
		}
	}
	if grown = heapInUse(); grown > used {
		// The engine may run three NATS servers in this process, whose caches grow and shrink; the
		// bound allows for them.
		require.Less(t, grown-used, uint64(48<<20), "heap growth in bytes since a quarter of the events")
	}
	require.GreaterOrEqual(t, last.Seq, uint64(total))
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
