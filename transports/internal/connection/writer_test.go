package connection_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func TestMain(m *testing.M) {
	tt.SetParallelism()
	testkit.Main(m)
}

const longTimeout = 3 * time.Minute

const retained = 200

// lines is a codec that encodes each event and each message as a line. The line begins with "event" or
// the kind of the message.
type lines struct{}

func (lines) Form() wire.Form            { return 0 }
func (lines) Encode(e *hub.Event) []byte { return []byte("event " + string(e.Data) + "\n") }
func (lines) Unwrap(b []byte) []byte     { return b }
func (lines) AppendMessage(dst []byte, m wire.Message) []byte {
	switch m.Op {
	case wire.OpHeartbeat:
		return append(dst, "heartbeat "+m.ID+"\n"...)
	case wire.OpGap:
		return append(dst, "gap\n"...)
	case wire.OpError:
		return append(dst, "error "+m.Problem.Code+" "+m.ID+"\n"...)
	default:
		return append(dst, m.Op+" "+m.ID+"\n"...)
	}
}

// bench is a hub and a listener, for tests and benchmarks that connect clients by TCP.
type bench struct {
	t        testing.TB
	hub      *hub.Hub
	registry *connection.Registry
	counters connection.Counters
	cfg      connection.Config
	portable bool
	secure   bool                              // use TLS
	fast     bool                              // clients have receive buffers of default size
	sink     func(*connection.Writer) hub.Sink // the sink that subscribes; nil: the writer
	listener *connection.Listener
}

func newBench(t testing.TB, heartbeat, writeTimeout time.Duration) *bench {
	h, err := hub.New(hub.Config{Retention: hub.Retention{Events: retained}})
	require.NoError(t, err)
	b := &bench{t: t, hub: h, registry: connection.NewRegistry(heartbeat, 0)}
	b.cfg = connection.Config{Codec: lines{}, Counters: &b.counters, Registry: b.registry, WriteTimeout: writeTimeout}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.listener = &connection.Listener{Listener: listener, WriteTimeout: writeTimeout}
	t.Cleanup(func() {
		b.registry.Close()
		b.listener.Close()
		require.NoError(t, h.Close())
	})
	return b
}

// connect returns a new writer and the client's end of its connection.
func (b *bench) connect() (*connection.Writer, net.Conn) {
	client, err := (&tt.Server{Addr: b.listener.Addr().String()}).Dial(tt.Request{Slow: !b.fast})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { client.Close() })
	require.NoError(b.t, client.SetDeadline(time.Now().Add(longTimeout)))
	b.listener.Portable = b.portable
	server, err := b.listener.Accept()
	require.NoError(b.t, err)
	if b.secure {
		over := tls.Server(server, connection.SelfSigned())
		done := make(chan error, 1)
		go func() { done <- over.Handshake() }()
		client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		require.NoError(b.t, client.(*tls.Conn).Handshake())
		require.NoError(b.t, <-done)
		server = over
	}
	conn := connection.NewConn(server, b.cfg.WriteTimeout)
	if b.portable {
		conn = connection.NewPortableConn(server)
	}
	w := connection.New()
	var sink hub.Sink = w
	if b.sink != nil {
		sink = b.sink(w)
	}
	s, err := b.hub.Subscribe(hub.Request{Filters: hub.NewFilterSet(hub.Everything)}, sink)
	require.NoError(b.t, err)
	require.True(b.t, w.Start(&b.cfg, tt.NewToken(&auth.Grant{Subscribe: hub.NewFilterSet(hub.Everything)}), s, conn, []byte("open\n")))
	return w, client
}

// publish publishes n events with consecutive numbers, beginning with the parameter first. The data of
// each event has about size bytes.
func (b *bench) publish(first, n, size int) {
	for i := first; i < first+n; i++ {
		data := `"` + strconv.Itoa(i) + strings.Repeat(" ", max(0, size-10)) + `"`
		_, err := b.hub.Publish(context.Background(), &hub.Event{Topic: "t", Data: []byte(data)})
		require.NoError(b.t, err)
	}
}

// reader reads lines from a connection.
type reader struct {
	t *testing.T
	r *bufio.Reader
}

func (r reader) line() string {
	s, err := r.r.ReadString('\n')
	require.NoError(r.t, err)
	return strings.TrimSuffix(s, "\n")
}

// number returns the number of the event that a line contains. It requires that the line is complete. The
// parameter size must be the same as in the call of bench.publish.
func (r reader) number(line string, size int) int {
	data, ok := strings.CutPrefix(line, `event "`)
	require.True(r.t, ok, "%.40q", line)
	digits := strings.TrimRight(data, ` "`)
	n, err := strconv.Atoi(digits)
	require.NoError(r.t, err)
	require.Equal(r.t, digits+strings.Repeat(" ", max(0, size-10))+`"`, data)
	return n
}

// path selects how the hub writes: directly or not, with TLS or without.
type path struct{ portable, secure bool }

// allPaths runs test with direct and with portable writes, each with TLS and without.
func allPaths(t *testing.T, test func(t *testing.T, p path)) {
	t.Parallel()
	for name, p := range map[string]path{
		"direct": {}, "portable": {portable: true}, "TLS": {secure: true}, "portable TLS": {portable: true, secure: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// If the connection blocks within an event or a message, the writer later continues at the first byte
// that was not written.
func TestPartialWritesResume(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		b := newBench(t, 0, longTimeout)
		b.portable, b.secure = p.portable, p.secure
		w, client := b.connect()
		const rounds, n = 6, 8
		sizes := []int{200 << 10, 10, 70 << 10, 3 << 10}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range rounds {
				b.publish(i*n, n, sizes[i%len(sizes)])
				w.WriteControl([]byte("message " + strconv.Itoa(i) + "\n"))
			}
		}()
		r := reader{t, bufio.NewReaderSize(client, 4001)}
		require.Equal(t, "open", r.line())
		events, messages := 0, 0
		for events < rounds*n || messages < rounds {
			line := r.line()
			if message, ok := strings.CutPrefix(line, "message "); ok {
				require.Equal(t, strconv.Itoa(messages), message)
				messages++
				continue
			}
			require.Equal(t, events, r.number(line, sizes[events/n%len(sizes)]))
			events++
		}
		<-done
		require.Zero(t, b.counters.WriteStalled.Load())
		require.EqualValues(t, rounds*n, b.counters.Delivered.Load())
		b.publish(rounds*n, 1, 10)
		require.Equal(t, rounds*n, r.number(r.line(), 10), "delivery of new events continues")
	})
}

func TestStalledPeerIsClosed(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		b := newBench(t, 0, 200*time.Millisecond)
		b.portable, b.secure = p.portable, p.secure
		b.connect()
		b.publish(0, 100, 100<<10)
		require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, longTimeout, time.Millisecond)
		require.EqualValues(t, 1, b.counters.WriteStalled.Load())
		require.Zero(t, b.hub.Stats().Subscriptions)
	})
}

// A client that reads a few bytes from time to time is not disconnected, however long the kernel's
// send buffer stays full.
func TestSlowReaderIsNotClosed(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		retryLonger(t, 500*time.Millisecond, 32*time.Second, func(timeout time.Duration) error {
			return readSlowly(t, p, timeout)
		})
	})
}

// retryLonger calls try with a timeout, and again with twice the timeout after an error, until the timeout has reached
// longest. A short timeout may fail because a busy machine has paused the test for too long.
func retryLonger(t *testing.T, timeout, longest time.Duration, try func(time.Duration) error) {
	err := try(timeout)
	for err != nil && timeout < longest {
		t.Log(err)
		timeout *= 2
		err = try(timeout)
	}
	require.NoError(t, err)
}

// readSlowly reads slowly for longer than the write timeout, and then at full speed. It returns an error
// if the hub closes the connection.
func readSlowly(t *testing.T, p path, timeout time.Duration) error {
	b := newBench(t, 0, timeout)
	b.portable, b.secure = p.portable, p.secure
	_, client := b.connect()
	const n, size = 2, 900 << 10 // a single write takes a long time
	b.publish(0, n, size)
	slow := &trickle{Conn: client, delay: timeout / 128, last: time.Now(), until: time.Now().Add(5 * timeout / 2)}
	r := bufio.NewReaderSize(slow, 1<<10)
	for i := range n + 1 {
		line, err := r.ReadString('\n')
		if err != nil {
			short := timeout < 2*time.Second // a pause of the hub, which slow cannot measure, may exceed a short timeout
			require.True(t, short || slow.longest > timeout/4, "the hub closed the connection although the client never paused: %v", err)
			return fmt.Errorf("closed after %d lines, with a write timeout of %v: %w", i, timeout, err)
		}
		if i > 0 {
			require.Equal(t, i-1, reader{t, nil}.number(strings.TrimSuffix(line, "\n"), size))
		}
	}
	require.Zero(t, b.counters.WriteStalled.Load())
	return nil
}

// trickle is a connection whose reads are slow until a given time.
type trickle struct {
	net.Conn
	delay   time.Duration // delay before each Read
	until   time.Time     // time after which reads are not delayed
	last    time.Time     // time of the last Read
	longest time.Duration // longest time between two Reads
}

func (c *trickle) Read(p []byte) (int, error) {
	if time.Now().Before(c.until) {
		time.Sleep(c.delay)
	}
	c.longest, c.last = max(c.longest, time.Since(c.last)), time.Now()
	return c.Conn.Read(p)
}

func TestHeartbeatsSpreadOverPeriod(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		// If the machine pauses all clients for most of the period, their heartbeats arrive together. Therefore
		// the test tries again with a longer period.
		for period := 640 * time.Millisecond; period < longTimeout; period *= 2 {
			quarters := heartbeatsInQuarters(t, p, period)
			if !slices.Contains(quarters[:], 0) {
				return
			}
			t.Logf("heartbeats in the quarters of the period: %v", quarters)
		}
		require.FailNow(t, "heartbeats are not spread over the period")
	})
}

// heartbeatsInQuarters returns, for each quarter of the heartbeat period, how many of 60 connections
// received their first heartbeat in it.
func heartbeatsInQuarters(t *testing.T, p path, period time.Duration) (quarters [4]int) {
	const n = 60
	b := newBench(t, period, longTimeout)
	b.portable, b.secure = p.portable, p.secure
	var wait sync.WaitGroup
	start, at := time.Now(), make([]time.Duration, n)
	for i := range n {
		_, client := b.connect()
		wait.Go(func() {
			r := bufio.NewReader(client)
			for line := ""; !strings.HasPrefix(line, "heartbeat"); {
				var err error
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
			}
			at[i] = time.Since(start)
		})
	}
	wait.Wait()
	for _, d := range at {
		require.NotZero(t, d)
		quarters[d*4/period%4]++
	}
	return quarters
}

// ignoringSink is a sink that ignores all batches.
type ignoringSink struct{}

func (ignoringSink) Ready(*hub.Batch) {}

// The hub detects that a peer has closed its connection, even if there is no event to deliver.
func TestClosedPeerIsDetected(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		b := newBench(t, 100*time.Millisecond, longTimeout)
		b.portable, b.secure = p.portable, p.secure
		_, client := b.connect()
		client.Close()
		require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, longTimeout, time.Millisecond)
		require.Zero(t, b.counters.WriteStalled.Load()+b.counters.ClosedAtDeadline.Load())
	})
}

func TestGoawayAfterPendingEvents(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		const n, size = 60, 80 << 10
		b := newBench(t, 0, longTimeout)
		b.portable, b.secure, b.fast = p.portable, p.secure, true
		w, client := b.connect()
		b.publish(0, n, size)
		w.Goaway(time.Second)
		r := reader{t, bufio.NewReader(client)}
		require.Equal(t, "open", r.line())
		for i := range n {
			require.Equal(t, i, r.number(r.line(), size))
		}
		require.Equal(t, "goaway "+b.hub.Position().String(), r.line())
		w.Wait()
		require.False(t, w.EndedForGood(), "the peer should resume")
	})
}

func TestCloseDoesNotWaitForPeers(t *testing.T) {
	allPaths(t, func(t *testing.T, p path) {
		b := newBench(t, 100*time.Millisecond, longTimeout)
		b.portable, b.secure = p.portable, p.secure
		for range 4 {
			b.connect()
		}
		b.publish(0, 100, 50<<10)
		start := time.Now()
		b.registry.Close()
		require.Less(t, time.Since(start), longTimeout/2, "Close must not wait for the write timeout")
		require.Zero(t, b.counters.Connections.Load())
		b.registry = connection.NewRegistry(0, 0) // newBench's cleanup closes this registry instead of the closed one
	})
}
