package longpoll_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/longpoll"
)

// rawConn is a client's connection on which a test writes requests byte for byte.
type rawConn struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dialRaw(t *testing.T, s *tt.Server) *rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(tt.Patience)))
	return &rawConn{conn, t, bufio.NewReader(conn)}
}

func (c *rawConn) send(requests string) {
	c.t.Helper()
	_, err := io.WriteString(c, requests)
	require.NoError(c.t, err)
}

// response returns the next response and its body.
func (c *rawConn) response() (*http.Response, string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.r, nil)
	require.NoError(c.t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	return response, string(body)
}

// answer returns the next poll answer. It requires that the status is 200.
func (c *rawConn) answer() wire.PollAnswer {
	c.t.Helper()
	response, body := c.response()
	require.Equal(c.t, http.StatusOK, response.StatusCode, body)
	answer, err := wire.DecodePollAnswer([]byte(body))
	require.NoError(c.t, err, body)
	return answer
}

// pollFrom returns a poll request that starts at the cursor and waits for up to 50 seconds.
func pollFrom(cursor string) string {
	return fmt.Sprintf("GET /poll?wait=50&cursor=%s HTTP/1.1\r\nHost: hub.test\r\n\r\n", cursor)
}

// waitParked blocks until the given number of polls wait and the given number of connections are
// parked.
func waitParked(t *testing.T, s *tt.Server, polls, parked int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Hub.Stats().Subscriptions == polls && s.Registry.Parked() == parked }, tt.Patience, time.Millisecond)
}

// A waiting poll has no goroutine, whether it is the first poll on its connection or a later one.
func TestWaitingPollsHaveNoGoroutine(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	const n = 50
	conns := make([]*rawConn, n)
	for i := range conns {
		conns[i] = dialRaw(t, s)
	}
	cursor := s.Hub.Position().String()
	for range 3 {
		for _, c := range conns {
			c.send(pollFrom(cursor))
		}
		waitParked(t, s, n, n)
		require.Eventually(t, func() bool { return runtime.NumGoroutine() < n }, tt.Patience, time.Millisecond)
		s.Publish(t, tt.JSON("a", "1"))
		cursor = s.Hub.Position().String()
		for _, c := range conns {
			answer := c.answer()
			require.Len(t, answer.Events, 1)
			require.Equal(t, cursor, answer.Cursor)
		}
	}
	require.Zero(t, s.Hub.Stats().Subscriptions)
}

// On a connection that was parked, each request gets the same response as on a new connection.
func TestRequestsAfterAParkedPoll(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	s.Publish(t, tt.JSON("a", "1"))
	for range 100 { // afterwards, all sequence numbers have three digits, so that answers have the same length
		s.Publish(t, tt.JSON("b", "1"))
	}
	const host = "Host: hub.test\r\n"
	long := strings.Repeat("x", 5000)
	sized := func(n int) string { // returns a request of n bytes
		start, end := "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n"+host+"X-Long: ", "\r\n\r\n"
		return start + strings.Repeat("x", n-len(start)-len(end)) + end
	}
	requests := map[string]string{
		"poll":                             "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "\r\n",
		"poll that ends the connection":    "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n",
		"HTTP/1.0":                         "GET /poll?wait=0&last=1&topic=a HTTP/1.0\r\n" + host + "\r\n",
		"bad parameter":                    "GET /poll?wait=no HTTP/1.1\r\n" + host + "\r\n",
		"bad query":                        "GET /poll?wait=%zz HTTP/1.1\r\n" + host + "\r\n",
		"HEAD":                             "HEAD /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "\r\n",
		"POST with a body":                 "POST /poll?wait=0 HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc",
		"GET with a body":                  "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc",
		"chunks":                           "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Expect":                           "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Expect: other\r\n\r\n",
		"another path":                     "GET /none HTTP/1.1\r\n" + host + "\r\n",
		"a path that is not clean":         "GET //poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "\r\n",
		"long header":                      "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "X-Long: " + long + "\r\n\r\n",
		"no Host":                          "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n\r\n",
		"two Hosts":                        "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + host + "\r\n",
		"bad Host":                         "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"bad header name":                  "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "X y: 1\r\n\r\n",
		"bad header value":                 "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "X-Y: \x01\r\n\r\n",
		"line ends without CR":             "GET /poll?wait=0&last=1&topic=a HTTP/1.1\nHost: hub.test\n\n",
		"not HTTP":                         "hello\r\n\r\n",
		"folded line":                      "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "X-Y: 1\r\n 2\r\n\r\n",
		"folded Host":                      "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\nHost:\r\n hub.test\r\n\r\n",
		"a space before the colon":         "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\nHost : hub.test\r\n\r\n",
		"a second Host after LF":           "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\nX-Y: 1\nHost: other.test\r\n" + host + "\r\n",
		"a lone CR":                        "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "X-Y: 1\rHost: other.test\r\n\r\n",
		"NUL in a value":                   "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "X-Y: \x00\r\n\r\n",
		"absolute target":                  "GET http://hub.test/poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "\r\n",
		"two lengths":                      "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Content-Length: 0\r\nContent-Length: 3\r\n\r\nabc",
		"a length and chunks":              "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"unknown encoding":                 "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n",
		"Connection list":                  "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Connection: keep-alive, close\r\n\r\n",
		"upgrade":                          "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"HTTP/1.2":                         "GET /poll?wait=0&last=1&topic=a HTTP/1.2\r\n" + host + "\r\n",
		"empty line first":                 "\r\nGET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "\r\n",
		"4095 bytes":                       sized(4095),
		"4096 bytes":                       sized(4096),
		"4097 bytes":                       sized(4097),
		"OPTIONS":                          "OPTIONS /poll HTTP/1.1\r\n" + host + "Origin: https://a.test\r\nAccess-Control-Request-Method: GET\r\n\r\n",
		"CONNECT":                          "CONNECT hub.test:80 HTTP/1.1\r\n" + host + "\r\n",
		"a poll before a POST":             "GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n" + host + "\r\nPOST /poll HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc",
		"two polls at once":                strings.Repeat("GET /poll?wait=0&last=1&topic=a HTTP/1.1\r\n"+host+"\r\n", 2),
		"a header that ends with bare LFs": "GET /poll?wait=0&last=1&topic=a HTTP/1.1\n" + "Host: hub.test\n\nGET /none HTTP/1.1\r\n" + host + "\r\n",
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			// rawConn.rest half-closes the connection, so that the server closes it after the last response.
			fresh := dialRaw(t, s)
			fresh.send(request)
			want := fresh.rest()
			parked := dialRaw(t, s)
			parked.send(pollFrom(s.Hub.Position().String()))
			waitParked(t, s, 1, 1)
			s.Publish(t, tt.JSON("b", "1"))
			parked.answer()
			parked.send(request)
			require.Equal(t, want, parked.rest())
		})
	}
}

// rest half-closes the connection and reads until the server closes it. It returns everything read,
// without the parts that may differ between two responses to equal requests.
func (c *rawConn) rest() string {
	c.t.Helper()
	require.NoError(c.t, c.Conn.(*net.TCPConn).CloseWrite())
	text, _ := io.ReadAll(c.r) // a connection may end with a reset after the last response
	header, body, _ := strings.Cut(differs.ReplaceAllString(string(text), ""), "\r\n\r\n")
	lines := strings.Split(header, "\r\n") // sorted, because the order of header lines does not matter
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n\n" + body
}

var differs = regexp.MustCompile("Date: .*\r\n|\"cursor\":\"[^\"]*\"")

// A client may send its next poll before the previous poll is answered, and may send it in parts.
func TestPipelinedPolls(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for _, split := range [][]int{nil, {len(pollFrom(""))}, {0}, {-2}, {-30, -2}} { // positions at which the second poll is split
		c := dialRaw(t, s)
		begin := s.Hub.Position().String()
		first, second := pollFrom(begin), pollFrom(begin)
		if split == nil {
			c.send(first + second)
			second = ""
		} else {
			c.send(first)
		}
		waitParked(t, s, 1, 1)
		for _, at := range split {
			if at < 0 {
				at += len(second)
			}
			c.send(second[:min(at, len(second))])
			second = second[min(at, len(second)):]
		}
		s.Publish(t, tt.JSON("a", "1"))
		require.Len(t, c.answer().Events, 1)
		c.send(second)
		require.Len(t, c.answer().Events, 1)
		c.Close()
		waitParked(t, s, 0, 0)
	}
}

// If a client closes its connection while its poll waits, or between two polls, the hub drops the
// subscription and the parked connection.
func TestParkedConnectionCloses(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for range 2 {
		waits, idles := dialRaw(t, s), dialRaw(t, s)
		idles.send(pollFrom(s.Hub.Position().String()))
		waitParked(t, s, 1, 1)
		s.Publish(t, tt.JSON("a", "1"))
		idles.answer()
		waitParked(t, s, 0, 1)
		waits.send(pollFrom(s.Hub.Position().String()))
		waitParked(t, s, 1, 2)
		waits.Close()
		idles.Close()
		waitParked(t, s, 0, 0)
	}
	require.Zero(t, s.Token.Holders())
}

// A drain answers waiting polls and then closes their connections. It also closes parked connections
// without a poll.
func TestDrainEndsParkedConnections(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	waits, idles := dialRaw(t, s), dialRaw(t, s)
	idles.send(pollFrom(s.Hub.Position().String()))
	waitParked(t, s, 1, 1)
	s.Publish(t, tt.JSON("a", "1"))
	idles.answer()
	waitParked(t, s, 0, 1)
	waits.send(pollFrom(s.Hub.Position().String()))
	waitParked(t, s, 1, 2)
	s.Registry.Drain(context.Background(), tt.Patience)
	response, _ := waits.response()
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.NotEmpty(t, response.Header.Get("Retry-After"))
	require.True(t, response.Close)
	for _, c := range []*rawConn{waits, idles} {
		_, err := c.r.ReadByte()
		require.ErrorIs(t, err, io.EOF)
	}
}

// Between two polls, a connection still counts toward the limits of its token.
func TestIdlePollConnectionsCount(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	c := dialRaw(t, s)
	for range 2 {
		c.send(pollFrom(s.Hub.Position().String()))
		waitParked(t, s, 1, 1)
		s.Publish(t, tt.JSON("a", "1"))
		c.answer()
		waitParked(t, s, 0, 1)
		require.Equal(t, 1, s.Token.Holders())
	}
}

// If no further poll arrives within idleTime, a connection is returned to its server, which serves the
// next request.
func TestIdlePollConnectionsAreReturnedAfterIdleTime(t *testing.T) {
	before := longpoll.SetIdleTime(time.Millisecond)
	s := tt.Start(t, tt.Config{})
	longpoll.SetIdleTime(before)
	c := dialRaw(t, s)
	for range 3 {
		c.send(pollFrom(s.Hub.Position().String()))
		waitParked(t, s, 1, 1)
		s.Publish(t, tt.JSON("a", "1"))
		c.answer()
		require.Eventually(t, func() bool { return s.Registry.Parked() == 0 && s.Token.Holders() == 0 }, tt.Patience, time.Millisecond)
	}
}

// If no further poll arrives within the server's IdleTimeout, the connection is closed.
func TestIdlePollConnectionsTimeOut(t *testing.T) {
	s := tt.Start(t, tt.Config{IdleTimeout: 20 * time.Millisecond})
	c := dialRaw(t, s)
	c.send(pollFrom(s.Hub.Position().String()))
	waitParked(t, s, 1, 1)
	s.Publish(t, tt.JSON("a", "1"))
	c.answer()
	_, err := c.r.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	waitParked(t, s, 0, 0)
	require.Zero(t, s.Token.Holders())
}

// When the token of a parked connection without a poll ends, the connection is returned to its server.
// The same code returns the connection if a limit would otherwise refuse another connection.
func TestIdlePollConnectionsAreReturnedWhenTokenEnds(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	c := dialRaw(t, s)
	c.send(pollFrom(s.Hub.Position().String()))
	waitParked(t, s, 1, 1)
	s.Publish(t, tt.JSON("a", "1"))
	c.answer()
	waitParked(t, s, 0, 1)
	s.Token.SetGrant(nil)
	waitParked(t, s, 0, 0)
	require.Zero(t, s.Token.Holders())
	c.send(pollFrom(s.Hub.Position().String()))
	response, _ := c.response()
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
}
