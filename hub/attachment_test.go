package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testOwner is an Owner that embeds its Attachment.
type testOwner struct {
	Attachment
	discard func()
}

func (o *testOwner) Discard() { o.discard() }

// attachTo attaches an owner that calls discard, and reports whether the event accepted it.
func attachTo(e *Event, discard func()) bool {
	o := &testOwner{discard: discard}
	o.Owner = o
	return e.Attach(&o.Attachment)
}

// Only an event of the in-memory log accepts an attachment. An erased event loses its attachment.
func TestErasureDropsAttachment(t *testing.T) {
	published := &Event{Topic: "a", Data: []byte("1")}
	require.False(t, published.Retained())
	require.Nil(t, published.Attached())
	require.False(t, published.Detach(new(Attachment)))
	require.False(t, attachTo(published, nil))

	h, err := New(Config{})
	require.NoError(t, err)
	defer h.Close()
	id, err := h.Publish(context.Background(), published)
	require.NoError(t, err)
	discarded := 0
	require.True(t, attachTo(published, func() { discarded++ }))
	require.False(t, attachTo(published, nil), "an event accepts only one attachment")
	require.NotNil(t, published.Attached())
	require.True(t, published.Retained())
	require.NoError(t, h.Erase(context.Background(), id))
	require.Equal(t, 1, discarded)
	require.Nil(t, published.Attached())
	require.False(t, published.Retained())
	require.False(t, attachTo(published, nil))
}

// If readers attach and detach while events are removed, each attachment is either detached or
// discarded, and only once.
func TestAttachmentsDuringRemoval(t *testing.T) {
	l := newMemlog(Retention{Events: 1, Bytes: 1 << 20, Age: time.Hour, GapTopics: 1}, 0)
	var attached, detached, discarded atomic.Int64
	var readers sync.WaitGroup
	taken := make(chan *Event, 16)
	for range 2 {
		readers.Go(func() {
			for e := range taken {
				o := &testOwner{discard: func() { discarded.Add(1) }}
				o.Owner = o
				if !e.Attach(&o.Attachment) {
					continue
				}
				attached.Add(1)
				if e.ID.Seq%2 == 0 && e.Detach(&o.Attachment) {
					detached.Add(1)
				}
			}
		})
	}
	for seq := range uint64(5000) {
		e := &Event{ID: Cursor{1, seq + 1}, Topic: "a", Time: time.Unix(1e9, 0)}
		l.add(e)
		l.trim(e.Time)
		taken <- e
		taken <- e
	}
	close(taken)
	readers.Wait()
	for !l.clear() {
	}
	require.Equal(t, attached.Load(), detached.Load()+discarded.Load())
}
