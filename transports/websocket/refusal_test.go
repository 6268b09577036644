package websocket_test

import (
	"bufio"
	"bytes"
	encoding "encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
	"github.com/trivium-hub/trivium/transports/websocket"
)

// watched is a server that serves only /ws. Tests can read the counters of its refusals.
type watched struct {
	*tt.Server
	handler  http.Handler
	refusals websocket.Refusals
	token    *tt.Token
}

// assemble returns a watched server that has a handler but does not listen. The caller must call end.
func assemble(t testing.TB, cfg websocket.Config) (s *watched, end func()) {
	return assembleHub(t, hub.Config{}, cfg)
}

func assembleHub(t testing.TB, hubConfig hub.Config, cfg websocket.Config) (s *watched, end func()) {
	h, err := hub.New(hubConfig)
	require.NoError(t, err)
	everything := hub.NewFilterSet(hub.Everything)
	token := tt.NewToken(&auth.Grant{Subject: "test", Subscribe: everything, Publish: everything})
	s = &watched{token: token, Server: &tt.Server{Hub: h, Registry: connection.NewRegistry(0, 0)}}
	cfg.Hub, cfg.Registry, cfg.Counters, cfg.Refusals = h, s.Registry, &s.WebSocket, &s.refusals
	cfg.WriteTimeout = tt.Patience
	s.handler = tt.Must(websocket.New(cfg))
	return s, func() {
		s.Registry.Close()
		require.NoError(t, h.Close())
	}
}

func watch(t testing.TB, cfg websocket.Config) *watched {
	s, end := assemble(t, cfg)
	server := httptest.NewServer(tt.Authorized(s.token, s.handler))
	s.Addr = server.Listener.Addr().String()
	t.Cleanup(func() {
		server.Close()
		end()
	})
	return s
}

// requireCounted calls f, and requires that meanwhile exactly one refusal with the reason of v was counted.
func (s *watched) requireCounted(t *testing.T, v verdict, f func()) {
	t.Helper()
	want := s.refusals.ByReason()
	f()
	want[v.Reason]++
	require.Equal(t, want, s.refusals.ByReason())
}

const publishing = `{"op":"publish","topic":"t","data":1}`

// The hub executes messages before a violation, and closes the connection at the byte that causes the
// violation, however the input is split into segments. It does not execute messages after the violation.
func TestHostileFrames(t *testing.T) {
	s := watch(t, websocket.Config{})
	run := func(t *testing.T, v verdict, writes ...string) {
		s.requireCounted(t, v, func() {
			c := dial(t, s.Server, "subscribe", "none")
			before := s.Hub.Stats().Published
			require.NoError(t, c.SendText(publishing))
			for _, b := range writes {
				_, err := c.Write([]byte(b))
				require.NoError(t, err)
			}
			require.Equal(t, wire.OpAck, message(t, c).Op)
			require.NotEmpty(t, requireClosed(t, c, v.Code))
			require.Equal(t, before+1, s.Hub.Stats().Published)
			c.Close()
		})
	}
	for _, tc := range hostile {
		t.Run(tc.name, func(t *testing.T) {
			run(t, tc.verdict, tc.sent+of(100)+frame(text, publishing))
			from := max(0, len(tc.sent)-12)
			single := []string{tc.sent[:from]}
			for at := from; at < len(tc.sent); at++ {
				run(t, tc.verdict, tc.sent[:at], tc.sent[at:])
				single = append(single, tc.sent[at:at+1])
			}
			run(t, tc.verdict, single...)
		})
	}
}

// Each refused connection is counted once, for its first violation.
func TestRefusals(t *testing.T) {
	s := watch(t, websocket.Config{})
	for sent, v := range map[string]verdict{
		frame(lastPart, ""):     {"protocol", 1002},
		frame(tt.Fin|0x3, ""):   {"protocol", 1002},
		frame(text|0x20, ""):    {"protocol", 1002},
		frame(tt.PingFrame, ""): {"protocol", 1002},
		frame(binary, ""):       {"protocol", 1003},
		frame(text, "\xff"):     {"protocol", 1007},
		frame(closing, "\x03"):  {"protocol", 1002},
	} {
		s.requireCounted(t, v, func() {
			c := dial(t, s.Server)
			_, err := c.Write([]byte(sent))
			require.NoError(t, err)
			requireClosed(t, c, v.Code)
		})
	}
	c := dial(t, s.Server)
	before := s.refusals.ByReason()
	require.NoError(t, c.Send(closing, "\x03\xea"))
	requireCode(t, c, 1002)
	requireEnd(t, c)
	require.Equal(t, before, s.refusals.ByReason(), "a close frame must not count as a refusal")
}

// Messages, pings and pongs count toward one rate limit.
func TestFloods(t *testing.T) {
	s := watch(t, websocket.Config{MessageRate: 10})
	for name, tc := range map[string]struct {
		sent   string
		answer byte // opcode of the expected answer to each frame, until the limit is reached
	}{
		"commands":                   {frame(text, pingCommand), text},
		"auth":                       {frame(text, `{"op":"auth","token":"bad"}`), text},
		"subscribe":                  {frame(text, `{"op":"subscribe","topic":["a","b"]}`), text},
		"nonsense":                   {frame(text, "?"), text},
		"empty":                      {frame(text, ""), text},
		"messages of several frames": {frame(firstPart, pingCommand) + frame(continuation, "") + frame(lastPart, ""), text},
		"pings":                      {frame(ping, of(125)), tt.Fin | tt.PongFrame},
		"pongs":                      {frame(tt.Fin|tt.PongFrame, ""), 0},
	} {
		t.Run(name, func(t *testing.T) {
			s.requireCounted(t, rateOver, func() {
				c := dial(t, s.Server, "subscribe", "none")
				const sent = 500 // many more than the limit, which admits ten further messages if the machine pauses the hub
				_, err := c.Write([]byte(strings.Repeat(tc.sent, sent)))
				require.NoError(t, err)
				answers := 0
				f, err := c.Receive()
				for err == nil && f.First == tc.answer && !bytes.Contains(f.Payload, []byte(problems.CodeRateLimited)) {
					answers++
					f, err = c.Receive()
				}
				require.NoError(t, err)
				require.Contains(t, string(f.Payload), problems.CodeRateLimited)
				if tc.answer != 0 {
					require.GreaterOrEqual(t, answers, 10)
				}
				require.Less(t, answers, sent/2)
				requireClosed(t, c, 1008)
			})
		})
	}
}

// The hub does not execute a message whose last frame has not arrived completely, even if the JSON in it
// is complete.
func TestIncompleteMessageIsNotExecuted(t *testing.T) {
	s := watch(t, websocket.Config{Compression: true})
	whole := frame(text, publishing+" ")
	packed := frame(text|tt.Compressed, deflate(t, publishing)+"\x00")
	for name, sent := range map[string]string{
		"within a message":          frame(firstPart, publishing),
		"within a frame":            whole[:len(whole)-1],
		"compressed":                frame(firstPart|tt.Compressed, deflate(t, publishing)),
		"before an invalid frame":   frame(firstPart, publishing) + "\x80\xfe\x00\x00",
		"before another message":    frame(firstPart, publishing) + frame(text, publishing),
		"within a compressed frame": packed[:len(packed)-1],
	} {
		c, err := s.DialSocket(tt.Query(), offer("permessage-deflate"), nil)
		require.NoError(t, err)
		_, err = c.Write([]byte(sent))
		require.NoError(t, err)
		require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
		_, err = io.Copy(io.Discard, c.Conn)
		require.NoError(t, err)
		require.Zero(t, s.Hub.Stats().Published, name)
		c.Close()
	}
}

// A client that keeps sending after a violation still receives the hub's close frame.
func TestFloodAfterClose(t *testing.T) {
	s := watch(t, websocket.Config{})
	for _, tc := range []struct {
		sent string
		code int
	}{
		{"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 1009},
		{frame(binary, ""), 1003},
		{frame(text, "\xff"), 1007},
		{strings.Repeat(frame(ping, ""), 2000), 1008}, // many more than the limit, which admits 100 further pings if the machine pauses the hub
	} {
		c := dial(t, s.Server)
		_, err := c.Write([]byte(tc.sent))
		require.NoError(t, err)
		var sent atomic.Int64
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			more := []byte(strings.Repeat(frame(continuation, ""), 10000))
			for err := error(nil); err == nil; {
				var n int
				n, err = c.Write(more)
				sent.Add(int64(n))
			}
		}()
		var last tt.Frame
		for last.Code() == 0 { // pongs may be sent before the close frame
			last, err = c.Receive()
			require.NoError(t, err)
		}
		require.Equal(t, tc.code, last.Code())
		<-stopped
		require.Less(t, sent.Load(), int64(2*websocket.MaxUnread))
		require.Eventually(t, func() bool { return s.WebSocket.Connections.Load() == 0 }, tt.Patience, time.Millisecond)
		c.Close()
	}
}

// hijacked is a ResponseWriter whose Hijack method returns conn.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// pipe performs a handshake on one end of a net.Pipe, and returns the other end, the client's.
func (s *watched) pipe() net.Conn {
	server, client := net.Pipe()
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	tt.Authorized(s.token, s.handler).ServeHTTP(hijacked{httptest.NewRecorder(), server}, r)
	return client
}

// After a violation, the hub closes the connection within closeTimeout, whatever the peer does.
func TestEndsInTime(t *testing.T) {
	trickle := func(f func(net.Conn) error) func(net.Conn) {
		return func(c net.Conn) {
			for f(c) == nil {
				time.Sleep(time.Second)
			}
		}
	}
	write := trickle(func(c net.Conn) error { _, err := c.Write([]byte{0x81}); return err })
	read := trickle(func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err })
	for name, tc := range map[string]struct {
		sent string
		do   []func(net.Conn)
	}{
		"idle peer":                    {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", nil},
		"slow sender":                  {"\x81\x00", []func(net.Conn){write}},
		"slow reader":                  {"\x81\x00", []func(net.Conn){read}},
		"slow reader, binary":          {frame(binary, ""), []func(net.Conn){read}},
		"slow sender and reader":       {frame(text, "\xff"), []func(net.Conn){write, read}},
		"slow reader, reserved opcode": {frame(tt.Fin|0x3, ""), []func(net.Conn){read}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, end := assemble(t, websocket.Config{})
				defer end()
				client := s.pipe()
				defer client.Close()
				hello := make([]byte, 1)
				_, err := client.Read(hello)
				require.NoError(t, err)
				_, err = client.Write([]byte(tc.sent))
				require.NoError(t, err)
				var peer sync.WaitGroup
				for _, do := range tc.do {
					peer.Go(func() { do(client) })
				}
				time.Sleep(websocket.CloseTimeout)
				synctest.Wait()
				require.Zero(t, s.WebSocket.Connections.Load())
				peer.Wait()
			})
		})
	}
}

// bomb returns a compressed message. size is its decompressed size, in MiB.
func bomb(t *testing.T, size int) string {
	one := deflate(t, of(1<<20))
	return strings.Repeat(one+"\x00\x00\xff\xff", size-1) + one
}

// Both the decompressed size of a message and the cost of decompressing it are limited.
func TestDecompressionIsBounded(t *testing.T) {
	s := watch(t, websocket.Config{Compression: true})
	ask := func() *tt.Socket {
		c, err := s.DialSocket(tt.Query(), offer("permessage-deflate"), nil)
		require.NoError(t, err)
		require.Equal(t, wire.OpHello, message(t, c).Op)
		return c
	}
	big := bomb(t, 60)
	require.Less(t, len(big), websocket.DefaultMaxMessage)
	binaryBig := verdict{"protocol", 1003}
	const n = 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for sent, v := range map[string]verdict{
		frame(text|tt.Compressed, big): tooBig,
		frame(firstPart|tt.Compressed, big[:100]) + frame(continuation, big[100:]) + frame(lastPart, ""): tooBig,
		frame(binary|tt.Compressed, big): binaryBig,
	} {
		for range n {
			s.requireCounted(t, v, func() {
				c := ask()
				_, err := c.Write([]byte(sent))
				require.NoError(t, err)
				requireClosed(t, c, v.Code)
				c.Close()
			})
		}
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*n<<20), "memory allocated by both sides for messages that decompress to %d MiB", 3*n*60)

	// A message of blocks without content decompresses to nothing, so the number of its blocks is limited.
	layers := strings.Repeat("\x00\x00\x00\xff\xff", websocket.DefaultMaxMessage/5) + "\x00"
	c := ask()
	require.NoError(t, c.Send(text|tt.Compressed, layers))
	requireClosed(t, c, 1008)
	c = ask()
	head := encoding.BigEndian.AppendUint64([]byte{text | tt.Compressed, 0xff}, websocket.DefaultMaxMessage+1)
	s.requireCounted(t, tooBig, func() {
		_, err := c.Write(head)
		require.NoError(t, err)
		requireClosed(t, c, 1009)
	})
}
