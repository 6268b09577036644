package transporttest

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Heap returns the size of the live heap, in bytes. It measures the size several times and returns the
// maximum.
func Heap() (most uint64) {
	for range 8 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
		time.Sleep(time.Millisecond) // lets other goroutines begin their writes
	}
	return most
}

// cacheSize is the limit of a connection.EncodingCache, in bytes.
const cacheSize = 32 << 20

// filler is a format that encodes every event as n zero bytes, where n is the value of filler.
type filler int

func (filler) Form() wire.Form            { return 0 }
func (n filler) Encode(*hub.Event) []byte { return make([]byte, n) }

// LeaveRoom fills the cache with an encoding of another subject, so that only n bytes are free. The
// function release removes that encoding.
func LeaveRoom(t testing.TB, cache *connection.EncodingCache, n int) (release func()) {
	held, _ := cache.Acquire(&hub.Event{}, filler(cacheSize-n), "another")
	require.NotNil(t, held)
	return func() { cache.Release(held, "another") }
}
