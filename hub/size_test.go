//go:build !js

package hub

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The test compares the memory that the in-memory log counts toward Retention.Bytes with the heap memory that
// the retained events occupy. TRIVIUM_LONG=1 retains five times as many events.
func TestRetainedBytesMatchTheHeap(t *testing.T) {
	if testing.Short() {
		t.Skip("the test measures memory, which takes a long time")
	}
	n := 4_000
	if os.Getenv("TRIVIUM_LONG") != "" {
		n = 20_000
	}
	const deep = "%d.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"
	for _, topics := range []struct {
		name, format string
		count        int
	}{
		{"one topic", "orders.%d", 1},
		{"a new topic for each event", "orders.%d.paid", n},
		{"one topic of 16 tokens", deep, 1},
		{"200 topics of 16 tokens", deep, 200},
		{"a new topic of 16 tokens for each event", deep, n},
		{"a new topic of 16 tokens for each event, 15 in common", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.%d", n},
	} {
		for _, keys := range []int{0, 1, 100, n} {
			for _, bytes := range []int{0, 20, 900} {
				t.Run(fmt.Sprintf("%s, %d keys, %d bytes", topics.name, keys, bytes), func(t *testing.T) {
					l := newMemlog(Retention{Events: 2 * n, Bytes: 1 << 40}.withDefaults(), 0)
					before := heapInUse()
					for i := range n {
						e := &Event{ID: Cursor{1, uint64(i) + 1}, Topic: fmt.Sprintf(topics.format, i%topics.count), Time: time.Unix(1e9, 0)}
						e.Data = make([]byte, bytes)
						if keys > 0 {
							e.Type, e.Key = fmt.Sprint("a type ", i), fmt.Sprint("a key ", i%keys)
						}
						l.add(e)
					}
					took := heapInUse() - before
					t.Logf("%d bytes per event on the heap, %d counted", took/int64(n), l.size()/int64(n))
					require.InEpsilon(t, 1, float64(l.size())/float64(took), 0.2)
					for !l.clear() {
					}
					require.Zero(t, l.size())
				})
			}
		}
	}
}

// heapInUse returns the size of all reachable objects in bytes.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
