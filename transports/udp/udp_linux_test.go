package udp

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// The test floods the socket before the source reads it, so the kernel drops most datagrams. Every
// datagram must be published or counted, and the counts must remain correct after the socket is closed.
func TestKernelDropsAreCounted(t *testing.T) {
	s := listen(t, Config{ReadBuffer: 8 << 10, Publish: takeAll})
	const sent = 1000
	flood(t, s, sent)
	lost := s.Stats().Dropped["kernel"]
	require.Positive(t, lost)
	require.Less(t, lost, uint64(sent))

	r := start(t, s)
	r.eventually(t, func(st Stats) bool { return st.Events+sum(st.Dropped) == sent })
	r.stop()
	stats := r.Stats()
	require.Equal(t, lost, stats.Dropped["kernel"])
	require.Positive(t, stats.Dropped["malformed"])
	require.Equal(t, sent-lost, stats.Datagrams)
	require.Equal(t, uint64(sent), stats.Events+sum(stats.Dropped))
}

// Datagrams that the kernel drops before Run are counted, even though Run closes the socket without
// reading a datagram.
func TestKernelDropsSurviveClose(t *testing.T) {
	s := listen(t, Config{ReadBuffer: 8 << 10, Publish: takeAll})
	flood(t, s, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.Run(ctx))
	require.Positive(t, s.Stats().Dropped["kernel"])
}

// takeAllTo returns a publish function that sends each event to a channel.
func takeAllTo(events chan<- *hub.Event) func(context.Context, ...*hub.Event) (hub.Cursor, error) {
	return func(_ context.Context, published ...*hub.Event) (hub.Cursor, error) {
		for _, e := range published {
			events <- e
		}
		return hub.Cursor{}, nil
	}
}

func takeAll(context.Context, ...*hub.Event) (hub.Cursor, error) { return hub.Cursor{}, nil }

// flood sends n datagrams, of which a tenth are not JSON. When it returns, each datagram is either in the
// socket's buffer or dropped, because the datagrams are sent over the loopback interface.
func flood(t *testing.T, s *Source, n int) {
	t.Helper()
	sender, err := net.Dial("udp", s.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, sender.Close()) }()
	for i := range n {
		datagram := "1"
		if i%10 == 0 {
			datagram = "{no JSON"
		}
		_, err := sender.Write([]byte(datagram))
		require.NoError(t, err)
	}
}

func TestReadBufferSize(t *testing.T) {
	s := listen(t, Config{})
	defer start(t, s).stop()
	got, err := setReadBuffer(s.conn, 128<<10) // below the limit of every system
	require.NoError(t, err)
	require.GreaterOrEqual(t, got, 128<<10)
}

func TestKernelCounterWraps(t *testing.T) {
	s := listen(t, Config{})
	defer start(t, s).stop()
	k := kernelDrops{last: 1<<32 - 3, sum: 1<<32 - 3}
	require.Equal(t, uint64(1<<32), k.read(s.conn))
	require.Equal(t, uint64(1<<32), k.read(s.conn))
}
