package jetstream

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// deliveredMessage implements jetstream.Msg for a message from a consumer.
type deliveredMessage struct {
	jetstream.Msg
	m *nats.Msg
}

func (f deliveredMessage) Headers() nats.Header { return f.m.Header }
func (f deliveredMessage) Data() []byte         { return f.m.Data }
func (f deliveredMessage) Subject() string      { return f.m.Subject }

// An event has the same time when it is delivered live, when it is read from the stream, and on a hub
// that starts later. This also holds if times decrease in the stream because the clock of a previous
// leader was ahead.
func TestLiveAndReadTimesAreTheSame(t *testing.T) {
	e, err := New(Config{URL: "nats://127.0.0.1", Stream: "trivium"})
	require.NoError(t, err)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 123456789, time.UTC)
	follow := func(from, to uint64) []*hub.Event {
		f := newFollower(e, from, nil)
		e.follows = f
		for seq := from + 1; seq <= to; seq++ {
			at := begin.Add(time.Duration(seq) * time.Second)
			if seq <= 10 {
				at = at.Add(time.Hour)
			}
			m := deliveredMessage{m: &nats.Msg{Subject: "trivium.a", Data: []byte("1")}}
			require.NoError(t, f.enqueueMessage(t.Context(), m, &jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: seq}, Timestamp: at.Local()}))
		}
		return f.queue
	}
	early := follow(0, 20)
	late := follow(10, 20)
	for i, event := range early {
		seq := uint64(i + 1)
		at := begin.Add(time.Duration(seq) * time.Second)
		if seq <= 10 {
			at = at.Add(time.Hour)
		}
		require.Equal(t, at, event.Time)
		read := e.got(&nats.Msg{Header: nats.Header{
			jetstream.SubjectHeader: {"trivium.a"}, jetstream.SequenceHeader: {fmt.Sprint(seq)},
			jetstream.TimeStampHeaer: {at.Format(time.RFC3339Nano)},
		}, Data: []byte("1")}, seq)
		require.Equal(t, read, event)
		if seq > 10 {
			require.Equal(t, event, late[i-10])
		}
	}
}
