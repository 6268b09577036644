package jetstream

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// The follower's queue is limited in events and in bytes, and delivers each element once and in
// order.
func TestQueueIsBoundedAndOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []uint64
		f := newFollower(&Engine{}, 10, func(events []*hub.Event) {
			for _, e := range events {
				got = append(got, e.ID.Seq)
			}
		})
		event := func(seq uint64) *hub.Event {
			return &hub.Event{ID: hub.Cursor{Seq: seq}, Topic: "a", Data: make([]byte, hub.DefaultMaxEventSize)}
		}
		f.enqueue(f.engine.lostRange(20))
		go func() {
			for _, seq := range []uint64{19, 20, 21, 21, 20, 22} {
				f.enqueue(event(seq))
			}
			for seq := uint64(23); seq < 60; seq++ {
				f.enqueue(event(seq))
			}
		}()
		synctest.Wait()
		require.Equal(t, maxQueuedSize/hub.DefaultMaxEventSize+1, len(f.queue))
		go f.deliverQueued()
		synctest.Wait()
		require.Len(t, got, 40)
		for i, seq := range got {
			require.Equal(t, uint64(20+i), seq)
		}
		f.close()
	})
}
