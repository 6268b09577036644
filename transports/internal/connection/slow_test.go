package connection_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
)

// slowTimeout is the timeout for each result that a test waits for. It is long enough for a busy machine.
const slowTimeout = 3 * time.Minute

// connectSlow is like connect, for a client that does not read at first.
func (b *bench) connectSlow() (*connection.Writer, net.Conn) {
	w, client := b.connect()
	require.NoError(b.t, client.SetDeadline(time.Now().Add(slowTimeout)))
	return w, client
}

// stall connects clients that do not read, publishes an event of the given size, and blocks until every
// client's writer has begun to write the event.
func (b *bench) stall(readers, size int) (clients []net.Conn) {
	for range readers {
		_, client := b.connectSlow()
		clients = append(clients, client)
	}
	b.publish(0, 1, size)
	require.Eventually(b.t, func() bool { return b.counters.Delivered.Load() == uint64(readers) }, slowTimeout, time.Millisecond)
	return clients
}

// If a client stops reading within a large event, the memory that its connection takes does not depend on
// the size of the event.
func TestStalledReadersShareAnEvent(t *testing.T) {
	const readers, size = 64, 1 << 20
	for name, row := range map[string]struct {
		path path
		full bool // the cache has no memory for the encoding
	}{
		"direct": {}, "portable": {path: path{portable: true}}, "TLS": {path: path{secure: true}},
		"direct, cache full": {full: true}, "portable, cache full": {path: path{portable: true}, full: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 0, slowTimeout)
			b.portable, b.secure = row.path.portable, row.path.secure
			if row.full {
				tt.LeaveRoom(t, b.registry.EncodingCache(), 0)
			}
			held := b.registry.EncodingCache().Bytes()
			for range readers {
				b.connect()
			}
			before := tt.Heap()
			b.publish(0, 1, size)
			require.Eventually(t, func() bool { return b.counters.Delivered.Load() == readers }, slowTimeout, time.Millisecond)
			grown := int64(tt.Heap()) - int64(before)
			t.Logf("%d readers of an event of %d bytes: %d KiB of heap each", readers, size, grown>>10/readers)
			require.Less(t, grown, int64(readers*(100<<10)+3*size))
			require.LessOrEqual(t, b.registry.EncodingCache().Bytes()-held, int64(size+100))
		})
	}
}

// When stalled readers continue, they receive the rest of the event and all later events.
func TestStalledReadersContinue(t *testing.T) {
	const readers, size = 8, 1 << 20
	for name, room := range map[string]int{"encoding held": 2 << 20, "no memory": 0} {
		t.Run(name, func(t *testing.T) {
			allPaths(t, func(t *testing.T, p path) {
				b := newBench(t, 0, slowTimeout)
				b.portable, b.secure = p.portable, p.secure
				tt.LeaveRoom(t, b.registry.EncodingCache(), room)
				held := b.registry.EncodingCache().Bytes()
				clients := b.stall(readers, size)
				b.publish(1, 1, 10)
				for _, client := range clients {
					r := reader{t, bufio.NewReader(client)}
					require.Equal(t, "open", r.line())
					require.Equal(t, 0, r.number(r.line(), size))
					require.Equal(t, 1, r.number(r.line(), 10))
				}
				require.Eventually(t, func() bool { return b.registry.EncodingCache().Bytes() == held }, slowTimeout, time.Millisecond)
				require.Zero(t, b.counters.NoEncodingMemory.Load()+b.counters.WriteStalled.Load())
			})
		})
	}
}

// Retention removes an event that stalled clients have received in part. If the hub holds the event's
// encoding for a client, the client receives the rest, and then a gap. If there was no memory for the
// encoding, the hub closes the connection and counts it in NoEncodingMemory.
func TestEventRemovedWhileWriting(t *testing.T) {
	const readers, size = 8, 1 << 20
	for name, row := range map[string]struct{ room, cut int }{"encoding held": {2 << 20, 0}, "no memory": {0, readers}} {
		t.Run(name, func(t *testing.T) {
			allPaths(t, func(t *testing.T, p path) {
				b := newBench(t, 0, slowTimeout)
				b.portable, b.secure = p.portable, p.secure
				tt.LeaveRoom(t, b.registry.EncodingCache(), row.room)
				clients := b.stall(readers, size)
				b.publish(1, 1, 10)
				require.Eventually(t, func() bool { return b.counters.Delivered.Load() == readers }, slowTimeout, time.Millisecond)
				b.publish(2, retained, 10)
				for _, client := range clients {
					r := reader{t, bufio.NewReader(client)}
					require.Equal(t, "open", r.line())
					if row.cut > 0 {
						_, err := io.Copy(io.Discard, r.r)
						if !p.secure { // with TLS, the client gets io.ErrUnexpectedEOF
							require.NoError(t, err)
						}
						continue
					}
					require.Equal(t, 0, r.number(r.line(), size))
					require.Equal(t, "gap", r.line())
					for i := range retained {
						require.Equal(t, i+2, r.number(r.line(), 10))
					}
				}
				require.EqualValues(t, row.cut, b.counters.NoEncodingMemory.Load())
				left := func() bool { return b.counters.Connections.Load() == int64(readers-row.cut) }
				require.Eventually(t, left, slowTimeout, time.Millisecond)
				require.Zero(t, b.counters.WriteStalled.Load())
			})
		})
	}
}

// Each stalled client reads a different event, and all have the same subject. The encodings that the hub
// holds for a subject are limited in size. Clients without a held encoding still receive their event.
func TestStalledAtDifferentEvents(t *testing.T) {
	const readers, size, share = 40, 1 << 20, 16 << 20
	b := newBench(t, 0, slowTimeout)
	var clients []net.Conn
	for i := range readers {
		_, client := b.connectSlow()
		clients = append(clients, client)
		b.publish(i, 1, size)
		require.Eventually(t, func() bool { return b.counters.Delivered.Load() == uint64(i+1) }, slowTimeout, time.Millisecond)
	}
	bytes := b.registry.EncodingCache().Bytes()
	require.LessOrEqual(t, bytes, int64(share))
	require.Greater(t, bytes, int64(share-2*size))
	for i, client := range clients {
		r := reader{t, bufio.NewReader(client)}
		require.Equal(t, "open", r.line())
		require.Equal(t, i, r.number(r.line(), size))
		client.Close()
	}
	require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, slowTimeout, time.Millisecond)
	require.Zero(t, b.registry.EncodingCache().Bytes())
	require.Zero(t, b.counters.NoEncodingMemory.Load())
}

// If a message or a heartbeat is written while large events are unread, the events are written first. They
// are written from their shared encodings, which are not copied.
func TestFlushPendingSharesEncoding(t *testing.T) {
	const size = 1 << 20
	for name, find := range map[string]func(*connection.Writer){
		"heartbeat": (*connection.Writer).Heartbeat,
		"message":   func(w *connection.Writer) { w.WriteControl([]byte("message\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 0, slowTimeout)
			b.sink = func(*connection.Writer) hub.Sink { return ignoringSink{} } // the workers then deliver no events to the writer
			w, client := b.connectSlow()
			b.publish(0, 1, size)
			find(w)
			require.Eventually(t, func() bool { return b.registry.EncodingCache().Bytes() > size/2 }, slowTimeout, time.Millisecond)
			r := reader{t, bufio.NewReader(client)}
			require.Equal(t, "open", r.line())
			require.Equal(t, 0, r.number(r.line(), size))
			last := r.line()
			require.True(t, last == "message" || strings.HasPrefix(last, "heartbeat "), strconv.Quote(last))
		})
	}
}

// The Writer of a slow connection keeps the rest of an event that it has written in part. The rest must
// not change while the fan-out worker writes later events of the same size to another connection.
func TestRestOfAnEventIsNotOverwritten(t *testing.T) {
	const rounds, n, size = 12, 8, 40 << 10 // two events are too large for one coalesced write
	b := newBench(t, 0, slowTimeout)
	_, slow := b.connectSlow()
	b.fast = true
	_, fast := b.connect()
	data := func(i int) string { return `"` + strings.Repeat(fmt.Sprintf("%8d", i), size/8) + `"` }
	r := reader{t, bufio.NewReader(fast)}
	require.Equal(t, "open", r.line())
	for first := 0; first < rounds*n; first += n {
		var events []*hub.Event
		for i := range n {
			events = append(events, &hub.Event{Topic: "t", Data: []byte(data(first + i))})
		}
		_, err := b.hub.Publish(context.Background(), events...)
		require.NoError(t, err)
		for i := range n {
			require.True(t, "event "+data(first+i) == r.line(), "event %d", first+i)
		}
	}
	r = reader{t, bufio.NewReader(slow)}
	require.Equal(t, "open", r.line())
	for i := range rounds * n {
		require.True(t, "event "+data(i) == r.line(), "event %d", i)
	}
}
