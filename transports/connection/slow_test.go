package connection_test

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
)

// ample is time for what must come, on a machine that is busy.
const ample = 3 * time.Minute

// connectSlow is connect for a client that reads late.
func (b *bench) connectSlow() (*connection.Writer, net.Conn) {
	o, client := b.connect()
	require.NoError(b.t, client.SetDeadline(time.Now().Add(ample)))
	return o, client
}

// heap returns the most live bytes of several looks.
func heap() (most uint64) {
	for range 8 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
		time.Sleep(time.Millisecond) // for goroutines that have begun to write
	}
	return most
}

// filler encodes everything as so many bytes.
type filler int

func (filler) Form() hub.Form             { return 0 }
func (n filler) Encode(*hub.Event) []byte { return make([]byte, n) }

// leaveRoom has the encodings of another subject leave room for n bytes only.
func (b *bench) leaveRoom(n int) {
	const all = 32 << 20
	held, _ := b.group.EncodingCache().Acquire(&hub.Event{}, filler(all-n), "another")
	require.NotNil(b.t, held)
}

// stall connects readers that read nothing, and waits until each has begun with an event of this size.
func (b *bench) stall(readers, size int) (clients []net.Conn) {
	for range readers {
		_, client := b.connectSlow()
		clients = append(clients, client)
	}
	b.publish(0, 1, size)
	require.Eventually(b.t, func() bool { return b.counters.Delivered.Load() == uint64(readers) }, ample, time.Millisecond)
	return clients
}

// TestStalledReadersShareAnEvent: what a reader costs that is stalled within a large event does not
// depend on the event's size.
func TestStalledReadersShareAnEvent(t *testing.T) {
	const readers, size = 64, 1 << 20
	for name, row := range map[string]struct {
		path path
		full bool // there is no room to hold the encoding
	}{
		"direct": {}, "portable": {path: path{portable: true}}, "TLS": {path: path{secure: true}},
		"direct, no room": {full: true}, "portable, no room": {path: path{portable: true}, full: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 0, ample)
			b.portable, b.secure = row.path.portable, row.path.secure
			if row.full {
				b.leaveRoom(0)
			}
			held := b.group.EncodingCache().Bytes()
			for range readers {
				b.connect()
			}
			before := heap()
			b.publish(0, 1, size)
			require.Eventually(t, func() bool { return b.counters.Delivered.Load() == readers }, ample, time.Millisecond)
			grown := int64(heap()) - int64(before)
			t.Logf("%d readers of an event of %d bytes: %d KiB of heap each", readers, size, grown>>10/readers)
			require.Less(t, grown, int64(readers*(100<<10)+3*size))
			require.LessOrEqual(t, b.group.EncodingCache().Bytes()-held, int64(size+100))
		})
	}
}

// TestStalledReadersGoOn: they get the event whole, and what comes after it.
func TestStalledReadersGoOn(t *testing.T) {
	const readers, size = 8, 1 << 20
	for name, room := range map[string]int{"held": 2 << 20, "no room": 0} {
		t.Run(name, func(t *testing.T) {
			allPaths(t, func(t *testing.T, p path) {
				b := newBench(t, 0, ample)
				b.portable, b.secure = p.portable, p.secure
				b.leaveRoom(room)
				held := b.group.EncodingCache().Bytes()
				clients := b.stall(readers, size)
				b.publish(1, 1, 10)
				for _, client := range clients {
					r := reader{t, bufio.NewReader(client)}
					require.Equal(t, "open", r.line())
					require.Equal(t, 0, r.number(r.line(), size))
					require.Equal(t, 1, r.number(r.line(), 10))
				}
				require.Eventually(t, func() bool { return b.group.EncodingCache().Bytes() == held }, ample, time.Millisecond)
				require.Zero(t, b.counters.NoEncodingMemory.Load()+b.counters.WriteStalled.Load())
			})
		})
	}
}

// TestRemovedWithin: retention removes the event that readers are stalled within. Those that hold its
// encoding get it whole, and a gap. Where there was no room to hold it, the connection is cut and counted.
func TestRemovedWithin(t *testing.T) {
	const readers, size = 8, 1 << 20
	for name, row := range map[string]struct{ room, cut int }{"held": {2 << 20, 0}, "no room": {0, readers}} {
		t.Run(name, func(t *testing.T) {
			allPaths(t, func(t *testing.T, p path) {
				b := newBench(t, 0, ample)
				b.portable, b.secure = p.portable, p.secure
				b.leaveRoom(row.room)
				clients := b.stall(readers, size)
				b.publish(1, 1, 10)
				require.Eventually(t, func() bool { return b.counters.Delivered.Load() == readers }, ample, time.Millisecond)
				b.publish(2, retained, 10)
				for _, client := range clients {
					r := reader{t, bufio.NewReader(client)}
					require.Equal(t, "open", r.line())
					if row.cut > 0 {
						_, err := io.Copy(io.Discard, r.r)
						if !p.secure { // TLS says nothing of the end
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
				require.EqualValues(t, readers-row.cut, b.counters.Connections.Load())
				require.Zero(t, b.counters.WriteStalled.Load())
			})
		})
	}
}

// TestStalledAtDifferentEvents: the encodings that readers hold are bounded for a subject, and readers
// past the bound still get all.
func TestStalledAtDifferentEvents(t *testing.T) {
	const readers, size, share = 40, 1 << 20, 16 << 20
	b := newBench(t, 0, ample)
	var clients []net.Conn
	for i := range readers {
		_, client := b.connectSlow()
		clients = append(clients, client)
		b.publish(i, 1, size)
		require.Eventually(t, func() bool { return b.counters.Delivered.Load() == uint64(i+1) }, ample, time.Millisecond)
	}
	bytes := b.group.EncodingCache().Bytes()
	require.LessOrEqual(t, bytes, int64(share))
	require.Greater(t, bytes, int64(share-2*size))
	for i, client := range clients {
		r := reader{t, bufio.NewReader(client)}
		require.Equal(t, "open", r.line())
		require.Equal(t, i, r.number(r.line(), size))
		client.Close()
	}
	require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, ample, time.Millisecond)
	require.Zero(t, b.group.EncodingCache().Bytes())
	require.Zero(t, b.counters.NoEncodingMemory.Load())
}

// TestCatchUpShares: what a message or a heartbeat finds unread is not copied either.
func TestCatchUpShares(t *testing.T) {
	const size = 1 << 20
	for name, find := range map[string]func(*connection.Writer){
		"heartbeat": (*connection.Writer).Heartbeat,
		"message":   func(o *connection.Writer) { o.WriteControl([]byte("message\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 0, ample)
			b.sink = func(*connection.Writer) hub.Sink { return deaf{} } // the workers are late
			o, client := b.connectSlow()
			b.publish(0, 1, size)
			find(o)
			require.Eventually(t, func() bool { return b.group.EncodingCache().Bytes() > size/2 }, ample, time.Millisecond)
			r := reader{t, bufio.NewReader(client)}
			require.Equal(t, "open", r.line())
			require.Equal(t, 0, r.number(r.line(), size))
			last := r.line()
			require.True(t, last == "message" || strings.HasPrefix(last, "beat "), strconv.Quote(last))
		})
	}
}
