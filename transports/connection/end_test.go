package connection_test

import (
	"bufio"
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
	tt "github.com/trivium-hub/trivium/transports/transporttest"
	"github.com/trivium-hub/trivium/transports/wire"
)

// TestEnds: what ends a stream is the last of it.
func TestEnds(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		b := newBench(t, 0, patience)
		b.portable, b.secure = p.portable, p.secure
		o, client := b.connect()
		b.publish(0, 1, 10)
		r := reader{t, bufio.NewReader(client)}
		require.Equal(t, "open", r.line())
		r.number(r.line(), 10)
		place := b.hub.Position().String()
		o.EndWithProblem(wire.TokenEnded())
		b.publish(1, 10, 10)
		o.WriteControl([]byte("message\n"))
		o.EndWith([]byte("again\n"))
		require.Equal(t, "error token-ended "+place, r.line())
		_, err := r.r.ReadByte()
		require.EqualError(t, err, "EOF")
		o.Wait()
		require.True(t, o.EndedForGood())
		o.Close()
	})
}

// TestEndsBehind: to one that is behind, what was begun is written whole, then what was said, then the
// end of the stream. The events that wait are not.
func TestEndsBehind(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		b := newBench(t, 0, patience)
		b.portable, b.secure = p.portable, p.secure
		o, client := b.connect()
		const n, size = 30, 100 << 10
		b.publish(0, n, size)
		require.Eventually(t, func() bool { return b.counters.Delivered.Load() > 0 }, patience, time.Millisecond)
		for i := range 3 {
			o.WriteControl([]byte("message " + strconv.Itoa(i) + "\n"))
		}
		o.EndWith([]byte("bye\n"))
		o.WriteControl([]byte("late\n"))
		r := reader{t, bufio.NewReader(client)}
		require.Equal(t, "open", r.line())
		events, line := 0, r.line()
		for ; strings.HasPrefix(line, "event "); line = r.line() {
			require.Equal(t, events, r.number(line, size))
			events++
		}
		require.Less(t, events, n)
		require.EqualValues(t, events, b.counters.Delivered.Load())
		for i := range 3 {
			require.Equal(t, "message "+strconv.Itoa(i), line)
			line = r.line()
		}
		require.Equal(t, "bye", line)
		_, err := r.r.ReadByte()
		require.EqualError(t, err, "EOF")
	})
}

// nobody is a Conn to nowhere.
type nobody struct{ connection.Conn }

func (nobody) TryWrite(p []byte) (int, error)    { return len(p), nil }
func (nobody) Write([]byte, time.Duration) error { return nil }
func (nobody) PeerClosed() bool                  { return false }
func (nobody) End() bool                         { return true }
func (nobody) Close()                            {}

// TestStartWhileDraining: a connection that begins just when all are cut is cut, or never began.
func TestStartWhileDraining(t *testing.T) {
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	all := hub.NewFilterSet(hub.Everything)
	for range 2000 {
		group := connection.NewRegistry(0)
		cfg := &connection.Config{Codec: lines{}, Counters: new(connection.Counters), Registry: group, WriteTimeout: patience}
		token := tt.NewToken(&hub.Grant{Subscribe: all})
		o := connection.New()
		require.Nil(t, token.Acquire(o))
		s, err := h.Subscribe(hub.Request{Filters: all}, o)
		require.NoError(t, err)
		var wait sync.WaitGroup
		begin := make(chan struct{})
		wait.Go(func() {
			<-begin
			group.Drain(context.Background(), 0)
		})
		close(begin)
		began := o.Start(cfg, token, s, nobody{}, []byte("open\n"))
		wait.Wait()
		if !began {
			token.Release(o)
			s.Close()
		}
		group.Close()
		require.Zero(t, token.Holders())
		require.Zero(t, cfg.Counters.Connections.Load())
	}
	require.Zero(t, h.Stats().Subscriptions)
	require.NoError(t, h.Close())
}

// TestOvertaken: whoever finds that retention was faster, the subscriber is sent away.
func TestOvertaken(t *testing.T) {
	for name, find := range map[string]func(*connection.Writer){
		"heartbeat": (*connection.Writer).Heartbeat,
		"message":   func(o *connection.Writer) { o.WriteControl([]byte("message\n")) },
		"round":     func(o *connection.Writer) { o.Ready(new(hub.Round)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 0, patience)
			b.cfg.Disconnect = true
			b.sink = func(*connection.Writer) hub.Sink { return deaf{} } // the workers are late
			o, client := b.connect()
			r := reader{t, bufio.NewReader(client)}
			require.Equal(t, "open", r.line())
			b.publish(0, 1, 10)
			o.Heartbeat()
			require.Equal(t, 0, r.number(r.line(), 10))
			place, found := strings.CutPrefix(r.line(), "beat ")
			require.True(t, found)
			b.publish(1, retained+10, 10)
			find(o)
			require.Equal(t, "error too-slow "+place, r.line(), "a resume there is told the gap")
			_, err := r.r.ReadByte()
			require.EqualError(t, err, "EOF")
			require.EqualValues(t, 1, b.counters.FellBehind.Load())
		})
	}
}

// TestDrainWindow: a drain lasts as long as it may where somebody does not go.
func TestDrainWindow(t *testing.T) {
	t.Parallel()
	const window = 200 * time.Millisecond
	b := newBench(t, 0, patience)
	b.connect()
	b.publish(0, 100, 100<<10)
	begin := time.Now()
	b.group.Drain(context.Background(), window)
	require.GreaterOrEqual(t, time.Since(begin), window)
	require.EqualValues(t, 1, b.counters.ClosedAtDeadline.Load())
}

// TestDrainEarly: it ends when the last has gone.
func TestDrainEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := hub.New(hub.Config{})
		require.NoError(t, err)
		group, all := connection.NewRegistry(0), hub.NewFilterSet(hub.Everything)
		cfg := &connection.Config{Codec: lines{}, Counters: new(connection.Counters), Registry: group, WriteTimeout: patience}
		o := connection.New()
		s, err := h.Subscribe(hub.Request{Filters: all}, o)
		require.NoError(t, err)
		require.True(t, o.Start(cfg, tt.NewToken(&hub.Grant{Subscribe: all}), s, nobody{}, []byte("open\n")))
		const window = time.Hour
		begin := time.Now()
		group.Drain(t.Context(), window)
		require.LessOrEqual(t, time.Since(begin), window*3/4, "by then all have been told")
		require.Zero(t, cfg.Counters.ClosedAtDeadline.Load())
		require.False(t, connection.New().Start(cfg, nil, nil, nil, nil), "nobody comes in any more")
		group.Close()
		require.NoError(t, h.Close())
	})
}
