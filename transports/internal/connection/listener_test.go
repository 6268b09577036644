package connection

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// acknowledging is a socket that accepts no bytes. Its method progressed returns the values in script
// one after the other, and then false.
type acknowledging struct {
	socket
	script []bool
}

func (s *acknowledging) trySafely([]byte) (int, error) { return 0, nil }

func (s *acknowledging) progressed() (on bool) {
	if len(s.script) > 0 {
		on, s.script = s.script[0], s.script[1:]
	}
	return on
}

func TestProgressConnTimeouts(t *testing.T) {
	const timeout = 10 * time.Second
	for name, row := range map[string]struct {
		every    time.Duration // interval at which the peer reads one byte
		reads    int           // number of reads; 0: the peer does not read
		deadline time.Duration // time from SetDeadline to the deadline; 0: no deadline
		acks     []bool        // results of progressed, in order; nil: no direct writes
		wrote    int           // expected result of the write
		took     time.Duration // expected duration of the write
		err      error
	}{
		"slow peer":                  {every: 9 * time.Second, reads: 20, wrote: 20, took: 180 * time.Second},
		"peer does not read":         {took: timeout, err: ErrNoProgress},
		"peer stops reading":         {every: 9 * time.Second, reads: 2, wrote: 2, took: 20*time.Second + timeout, err: ErrNoProgress},
		"progress within a deadline": {every: 4 * time.Second, reads: 20, deadline: 5 * time.Second, wrote: 20, took: 80 * time.Second},
		"too slow for a deadline":    {every: 9 * time.Second, reads: 20, deadline: 5 * time.Second, took: 5 * time.Second, err: os.ErrDeadlineExceeded},
		"a longer deadline":          {deadline: time.Minute, took: timeout, err: ErrNoProgress},
		"deadline already passed":    {every: time.Second, reads: 20, deadline: -time.Second, err: os.ErrDeadlineExceeded},
		"acknowledges":               {acks: []bool{false, true, false, true}, took: 3*timeout/progressChecks + timeout, err: ErrNoProgress},
		"acknowledges nothing":       {acks: []bool{false}, took: timeout, err: ErrNoProgress},
		"acknowledged only once":     {acks: []bool{true, false}, took: timeout, err: ErrNoProgress},
	} {
		test := func(t *testing.T, held bool) {
			synctest.Test(t, func(t *testing.T) {
				conn, peer := net.Pipe()
				g := &progressConn{Conn: conn, listener: &Listener{WriteTimeout: timeout}}
				if row.acks != nil {
					g.direct = &acknowledging{script: row.acks}
				}
				var reader sync.WaitGroup
				reader.Go(func() {
					for range row.reads {
						time.Sleep(row.every)
						_, _ = peer.Read(make([]byte, 1)) // fails when the test has ended
					}
				})
				if row.deadline != 0 {
					require.NoError(t, g.SetDeadline(time.Now().Add(row.deadline)))
				}
				start := time.Now()
				var err error
				n := row.wrote
				if held {
					g.nonblocking = new(nonblocking)
					g.nonblocking.hold(make([]byte, 20))
					err = g.flush()
				} else {
					n, err = g.Write(make([]byte, 20))
				}
				require.Equal(t, row.wrote, n)
				require.InDelta(t, row.took.Seconds(), time.Since(start).Seconds(), 0.001)
				require.Equal(t, row.err, err)
				if row.err == ErrNoProgress { // the write has closed the connection
					_, err = g.Write([]byte("x"))
					require.Equal(t, row.err, err)
					reader.Wait()
					_, err = peer.Read(make([]byte, 1))
					require.Equal(t, io.EOF, err)
				}
				peer.Close()
				conn.Close()
				reader.Wait()
			})
		}
		t.Run(name, func(t *testing.T) { test(t, false) })
		t.Run(name+", held", func(t *testing.T) { test(t, true) })
	}
}

func TestInterruptedWriteReturns(t *testing.T) {
	for name, stop := range map[string]func(*progressConn){
		"stopWaiting": (*progressConn).stopWaiting,
		"deadline":    func(g *progressConn) { _ = g.SetWriteDeadline(pastDeadline) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, peer := net.Pipe()
				defer peer.Close()
				defer conn.Close()
				g := &progressConn{Conn: conn, listener: &Listener{WriteTimeout: time.Minute}}
				time.AfterFunc(time.Second, func() { stop(g) })
				start := time.Now()
				_, err := g.Write([]byte("x"))
				require.Error(t, err)
				require.Equal(t, time.Second, time.Since(start))
				_, err = g.Write([]byte("x"))
				require.Error(t, err)
				require.LessOrEqual(t, time.Since(start), time.Second+lastWriteTimeout)
			})
		})
	}
}

// Closing a TLS connection does not block if the peer does not read.
func TestTLSCloseDoesNotBlock(t *testing.T) {
	t.Parallel()
	for name, portable := range map[string]bool{"direct": false, "portable": true} {
		for end, last := range map[string]func(*Listener, *tls.Conn){
			"close": func(l *Listener, c *tls.Conn) { NewConn(c, l.WriteTimeout).Close() },
			"close after a write": func(l *Listener, c *tls.Conn) {
				conn := NewConn(c, l.WriteTimeout)
				_, _ = conn.TryWrite([]byte("x")) // with direct writes, the connection holds it
				conn.Close()
			},
			"close write": func(_ *Listener, c *tls.Conn) { _ = NewPortableConn(c).CloseWrite() },
			"shutdown":    func(l *Listener, c *tls.Conn) { l.Close(); c.Close() },
		} {
			t.Run(name+"/"+end, func(t *testing.T) {
				t.Parallel()
				// A busy machine may pause the test, but hardly ten times in a row.
				for tries := 1; !closesAtOnce(t, portable, last); tries++ {
					require.Less(t, tries, 10, "the close took four seconds or more ten times in a row")
				}
			})
		}
	}
}

// closesAtOnce calls last, which closes a connection whose peer does not read. It reports whether last
// returns within four seconds: the Close method of tls.Conn alone would wait for five seconds.
func closesAtOnce(t *testing.T, portable bool, last func(*Listener, *tls.Conn)) bool {
	l := listen(t, portable)
	stalled, _ := tlsPair(t, l)
	idle, client := tlsPair(t, l)
	fill(t, progressConnOf(stalled))
	start := time.Now()
	last(l, stalled)
	took := time.Since(start)
	last(l, idle)
	_, err := io.ReadAll(client)
	require.NoError(t, err, "an idle peer receives the end of the stream")
	return took < 4*time.Second
}

func listen(t *testing.T, portable bool) *Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return &Listener{Listener: l, WriteTimeout: time.Minute, Portable: portable}
}

// tlsPair returns both ends of a TLS connection.
func tlsPair(t *testing.T, l *Listener) (server, client *tls.Conn) {
	raw, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	accepted, err := l.Accept()
	require.NoError(t, err)
	client = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	server = tls.Server(accepted, SelfSigned())
	handshake := make(chan error, 1)
	go func() { handshake <- client.Handshake() }()
	require.NoError(t, server.Handshake())
	require.NoError(t, <-handshake)
	t.Cleanup(func() {
		client.NetConn().Close()
		accepted.Close()
	})
	return server, client
}

// fill writes to the socket, below TLS, until three writes in a row accept no byte. One such write is
// no proof that the socket is full, because the deadline may pass before the write begins.
func fill(t *testing.T, g *progressConn) {
	for full := 0; full < 3; {
		require.NoError(t, g.Conn.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
		if n, err := g.Conn.Write(make([]byte, 64<<10)); n > 0 {
			full = 0
		} else {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			full++
		}
	}
	require.NoError(t, g.Conn.SetWriteDeadline(time.Time{}))
}
