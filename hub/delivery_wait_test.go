package hub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// lateLog delivers published events after a delay.
type lateLog struct {
	logEngine
	late time.Duration
}

func (l *lateLog) Start(deliver func([]*Event)) (Cursor, error) {
	return l.logEngine.Start(func(events []*Event) { time.AfterFunc(l.late, func() { deliver(events) }) })
}

func (l *lateLog) PublishOnce(ctx context.Context, _, _ string, _ Digest, events []*Event) (Cursor, error) {
	return l.Publish(ctx, events)
}

// When Publish returns, the hub has the published events, unless the hub is far behind its log.
func TestPublishWaitsForItsOwnEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lateLog{late: ownWriteTimeout / 2}
		h, err := New(Config{Engine: l})
		require.NoError(t, err)
		defer func() {
			time.Sleep(time.Minute) // the late events are delivered before the hub is closed
			require.NoError(t, h.Close())
		}()
		begin := time.Now()
		last, err := h.Publish(t.Context(), &Event{Topic: "a", Data: []byte("1")})
		require.NoError(t, err)
		require.Equal(t, last, h.Position())
		require.Equal(t, l.late, time.Since(begin))
		receipt, err := h.PublishOnce(t.Context(), "s", "k", &Event{Topic: "a", Data: []byte("2")})
		require.NoError(t, err)
		require.Equal(t, receipt.Last, h.Position())

		l.late = time.Second
		begin = time.Now()
		_, err = h.Publish(t.Context(), &Event{Topic: "a", Data: []byte("3")})
		require.NoError(t, err)
		require.Equal(t, receipt.Last, h.Position())
		require.Equal(t, ownWriteTimeout, time.Since(begin))
		h.mu.Lock()
		defer h.mu.Unlock()
		require.Empty(t, h.deliveryWaits)
	})
}
