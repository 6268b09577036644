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

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/problems"
)

func TestEndIsLastMessage(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		b := newBench(t, 0, longTimeout)
		b.portable, b.secure = p.portable, p.secure
		w, client := b.connect()
		b.publish(0, 1, 10)
		r := reader{t, bufio.NewReader(client)}
		require.Equal(t, "open", r.line())
		r.number(r.line(), 10)
		place := b.hub.Position().String()
		w.EndWithProblem(problems.TokenEnded())
		b.publish(1, 10, 10)
		w.WriteControl([]byte("message\n"))
		w.EndWith([]byte("again\n"), connection.ClosedRefused)
		require.Equal(t, "error token-ended "+place, r.line())
		_, err := r.r.ReadByte()
		require.EqualError(t, err, "EOF")
		w.Wait()
		require.True(t, w.EndedForGood())
		w.Close()
	})
}

// If a subscriber is behind when its stream is ended, the writer completes the event that it is
// writing. Then it writes the queued messages and the end of the stream, and no further events.
func TestEndSkipsUnreadEvents(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		b := newBench(t, 0, longTimeout)
		b.portable, b.secure = p.portable, p.secure
		w, client := b.connect()
		const n, size = 30, 100 << 10
		b.publish(0, n, size)
		require.Eventually(t, func() bool { return b.counters.Delivered.Load() > 0 }, longTimeout, time.Millisecond)
		for i := range 3 {
			w.WriteControl([]byte("message " + strconv.Itoa(i) + "\n"))
		}
		w.EndWith([]byte("bye\n"), connection.ClosedRefused)
		w.WriteControl([]byte("late\n"))
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

// nullConn is a Conn that discards everything written to it.
type nullConn struct{ connection.Conn }

func (nullConn) TryWrite(p []byte) (int, error)    { return len(p), nil }
func (nullConn) Buffered() bool                    { return false }
func (nullConn) Write([]byte, time.Duration) error { return nil }
func (nullConn) PeerClosed() bool                  { return false }
func (nullConn) End() bool                         { return true }
func (nullConn) Close()                            {}

// A connection that is started while the registry begins to drain is either refused or closed by the
// drain.
func TestStartWhileDraining(t *testing.T) {
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	all := hub.NewFilterSet(hub.Everything)
	for range 2000 {
		registry := connection.NewRegistry(0, 0)
		cfg := &connection.Config{Codec: lines{}, Counters: new(connection.Counters), Registry: registry, WriteTimeout: longTimeout}
		token := tt.NewToken(&auth.Grant{Subscribe: all})
		w := connection.New()
		require.Nil(t, token.Acquire(w))
		s, err := h.Subscribe(hub.Request{Filters: all}, w)
		require.NoError(t, err)
		var wait sync.WaitGroup
		proceed := make(chan struct{})
		wait.Go(func() {
			<-proceed
			registry.Drain(context.Background(), 0)
		})
		close(proceed)
		began := w.Start(cfg, token, s, nullConn{}, []byte("open\n"))
		wait.Wait()
		if !began {
			token.Release(w)
			s.Close()
		}
		registry.Close()
		require.Zero(t, token.Holders())
		require.Zero(t, cfg.Counters.Connections.Load())
	}
	require.Zero(t, h.Stats().Subscriptions)
	require.NoError(t, h.Close())
}

// A subscriber that fell behind retention is disconnected, whichever code path detects this first.
func TestDisconnectWhenBehindRetention(t *testing.T) {
	for name, find := range map[string]func(*connection.Writer){
		"heartbeat": (*connection.Writer).Heartbeat,
		"message":   func(w *connection.Writer) { w.WriteControl([]byte("message\n")) },
		"batch":     func(w *connection.Writer) { w.Ready(new(hub.Batch)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 0, longTimeout)
			b.cfg.Disconnect = true
			b.sink = func(*connection.Writer) hub.Sink { return ignoringSink{} } // the workers then deliver no events to the writer
			w, client := b.connect()
			r := reader{t, bufio.NewReader(client)}
			require.Equal(t, "open", r.line())
			b.publish(0, 1, 10)
			w.Heartbeat()
			require.Equal(t, 0, r.number(r.line(), 10))
			place, found := strings.CutPrefix(r.line(), "heartbeat ")
			require.True(t, found)
			b.publish(1, retained+10, 10)
			find(w)
			require.Equal(t, "error too-slow "+place, r.line(), "the client gets the gap if it resumes from the position in the error")
			_, err := r.r.ReadByte()
			require.EqualError(t, err, "EOF")
			require.EqualValues(t, 1, b.counters.FellBehind.Load())
		})
	}
}

func TestDrainLastsWholeWindow(t *testing.T) {
	t.Parallel()
	const window = 200 * time.Millisecond
	b := newBench(t, 0, longTimeout)
	b.connect()
	b.publish(0, 100, 100<<10)
	start := time.Now()
	b.registry.Drain(context.Background(), window)
	require.GreaterOrEqual(t, time.Since(start), window)
	require.EqualValues(t, 1, b.counters.ClosedAtDeadline.Load())
}

// A drain returns as soon as no connection is left.
func TestDrainEndsWithLastMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := hub.New(hub.Config{})
		require.NoError(t, err)
		registry, all := connection.NewRegistry(0, 0), hub.NewFilterSet(hub.Everything)
		cfg := &connection.Config{Codec: lines{}, Counters: new(connection.Counters), Registry: registry, WriteTimeout: longTimeout}
		w := connection.New()
		s, err := h.Subscribe(hub.Request{Filters: all}, w)
		require.NoError(t, err)
		require.True(t, w.Start(cfg, tt.NewToken(&auth.Grant{Subscribe: all}), s, nullConn{}, []byte("open\n")))
		const window = time.Hour
		start := time.Now()
		registry.Drain(t.Context(), window)
		require.LessOrEqual(t, time.Since(start), window*3/4, "goaway was sent to all members within three quarters of the window")
		require.Zero(t, cfg.Counters.ClosedAtDeadline.Load())
		require.False(t, connection.New().Start(cfg, nil, nil, nil, nil), "the registry refuses new members")
		registry.Close()
		require.NoError(t, h.Close())
	})
}

// During a drain, a peer that reads receives everything that was accepted, and a goaway. A peer
// that does not read is disconnected at the deadline.
func TestDrainDeliversThenCloses(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		window := time.Second
		for !drainInWindow(t, p, window) {
			require.Less(t, window, longTimeout, "clients that read were disconnected at the deadline, even with the longest window")
			window *= 4
		}
	})
}

// drainInWindow returns false if clients that read were disconnected at the end of the window, which
// happens on a machine that is too slow for it.
func drainInWindow(t *testing.T, p path, window time.Duration) bool {
	const readers, n, size = 8, 30, 80 << 10
	b := newBench(t, 0, longTimeout)
	b.portable, b.secure, b.fast = p.portable, p.secure, true
	var wait sync.WaitGroup
	var ends [readers][2]string // the last two lines of each reader
	for i := range readers {
		_, client := b.connect()
		wait.Go(func() {
			for r := bufio.NewReader(client); ; {
				line, err := r.ReadString('\n')
				if err != nil {
					break
				}
				ends[i] = [2]string{ends[i][1], line}
			}
		})
	}
	b.fast = false
	for range 2 {
		b.connect()
	}
	b.publish(0, n, size)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		wait.Wait()
		cancel() // ends the drain, which would otherwise wait for the two clients that do not read
	}()
	b.registry.Drain(ctx, window)
	wait.Wait()
	require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, longTimeout, time.Millisecond)
	require.True(t, b.registry.IsDraining())
	if b.counters.ClosedAtDeadline.Load() > 2 {
		return false
	}
	for _, last := range ends {
		require.Contains(t, last[0], `event "`+strconv.Itoa(n-1)+" ")
		require.Equal(t, "goaway "+b.hub.Position().String()+"\n", last[1])
	}
	require.EqualValues(t, 2, b.counters.ClosedAtDeadline.Load())
	return true
}
