package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The test runs the scenario with subscribers of several groups and tokens. Then it changes the counters of some
// connections, as if they had missed an event or received an additional, a changed or an invalid one. All these errors
// must be counted.
func TestMillionCountsErrors(t *testing.T) {
	m, err := newMillion(2*perGroup+500, MinSize)
	require.NoError(t, err)
	result, err := m.measure(1, time.Millisecond)
	require.NoError(t, err)
	require.NoError(t, m.close())
	require.Equal(t, 3, result.Million.Groups)
	require.Equal(t, 3, result.Million.Tokens)
	require.Positive(t, result.Million.OpenedPerSecond)
	require.EqualValues(t, 2500, m.run.closed.Load())
	require.EqualValues(t, 2500, result.Hub.Deliveries)
	require.EqualValues(t, 2500, result.Floor.Deliveries)

	m.check(result)
	require.True(t, result.Clean(), "%+v", result.Tally)
	m.conns[7].events--
	m.conns[8].sum++
	m.conns[9].events++
	m.conns[2000].faults++
	m.check(result)
	require.Equal(t, Tally{Lost: 1, Duplicated: 1, Changed: 2}, result.Tally)
}

// TestMemoryConn checks that a memoryConn counts events, counts faults in the SSE stream, and accepts a chunk that is
// split between several writes.
func TestMemoryConn(t *testing.T) {
	chunk := func(block string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(block), block) }
	open := chunk("retry: 1000\nevent: trivium.open\nid: 1-0\ndata: {}\n\n")
	event := chunk("id: 1-1\ntopic: bench\ndata: 1\n\n")
	goaway := chunk("retry: 1\nevent: trivium.goaway\nid: 1-1\ndata: {}\n\n")
	for _, tt := range []struct {
		name           string
		stream         []string
		events, faults int
		state          memoryState
	}{
		{"a whole stream", []string{open, event + event, chunk("event: trivium.heartbeat\ndata: {}\n\n"), goaway}, 2, 0, memoryGoaway},
		{"a stream ended by an error", []string{open, chunk("event: trivium.error\ndata: {}\n\n") + "0\r\n\r\n"}, 0, 0, memoryRefused},
		{"an event in pieces", []string{open, event[:20], event[20 : len(event)-1], event[len(event)-1:]}, 1, 0, memoryOpen},
		{"an event before open", []string{event}, 1, 1, memoryNew},
		{"an event after the end", []string{open, goaway, event}, 1, 1, memoryGoaway},
		{"a second open", []string{open, open}, 0, 1, memoryOpen},
		{"a gap", []string{open, chunk("event: trivium.gap\ndata: {}\n\n")}, 0, 1, memoryOpen},
		{"bytes that are not a chunk", []string{open, "data: 1\n\n"}, 0, 1, memoryOpen},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := &memoryRun{}
			expected := run.expect(tt.events)
			if tt.events == 0 {
				close(expected.done)
			}
			c := memoryConn{run: run, kept: []byte{}}
			for _, p := range tt.stream {
				n, err := c.Write([]byte(p))
				require.NoError(t, err)
				require.Equal(t, len(p), n)
			}
			require.EqualValues(t, tt.events, c.events)
			require.EqualValues(t, tt.faults, c.faults)
			require.Equal(t, tt.state, c.state)
			require.Equal(t, tt.events, strings.Count(string(c.kept), "id: "))
			require.True(t, expected.wait())
		})
	}
}

// Each group of perAddress connections uses a different source address.
func TestSourceAddress(t *testing.T) {
	require.Equal(t, "127.0.1.1", sourceAddress(perAddress-1).String())
	require.Equal(t, "127.0.2.1", sourceAddress(perAddress).String())
	require.Equal(t, "127.4.0.1", sourceAddress(1023*perAddress).String())
}
