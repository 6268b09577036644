package longpoll_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/longpoll"
)

func TestMain(m *testing.M) {
	tt.SetParallelism()
	longpoll.SetIdleTime(tt.Patience) // a busy machine may need long between two polls
	testkit.Main(closing{m})
}

// closing is a testing.M that closes the idle connections of http.DefaultClient after the tests, because
// their goroutines would be reported as leaks.
type closing struct{ *testing.M }

func (c closing) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return c.M.Run()
}

// get sends one poll and returns its answer. header is empty, or contains the name and the value of one
// header.
func get(t *testing.T, s *tt.Server, query string, header ...string) (*http.Response, wire.PollAnswer) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr+"/poll?"+query, nil)
	require.NoError(t, err)
	if len(header) > 0 {
		r.Header.Set(header[0], header[1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.EqualValues(t, len(body), response.ContentLength, "an answer of any length must have a Content-Length")
	if response.StatusCode != http.StatusOK {
		return response, wire.PollAnswer{}
	}
	require.Equal(t, "application/json", response.Header.Get("Content-Type"))
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	answer, err := wire.DecodePollAnswer(body)
	require.NoError(t, err, "%s", body)
	return response, answer
}

// An answer contains at most max events and 1 MiB, but at least one event.
func TestAnswerLimits(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	_, begin := get(t, s, "wait=0")
	require.Empty(t, begin.Events)
	require.Equal(t, s.Hub.Position().String(), begin.Cursor)
	sizes := []int{1, 1, 1, 400 << 10, 400 << 10, 400 << 10, 1<<20 - 2, 1, 1<<20 - 2}
	for i, size := range sizes {
		s.Publish(t, tt.JSON(strconv.Itoa(i), `"`+strings.Repeat("a", size)+`"`))
	}
	cursor := begin.Cursor
	for _, want := range []int{3, 2, 1, 1, 1, 1} {
		_, answer := get(t, s, "max=3&cursor="+cursor)
		require.Len(t, answer.Events, want)
		cursor = answer.Cursor
		require.Equal(t, answer.Events[want-1].ID.String(), cursor)
	}
	require.Equal(t, s.Hub.Position().String(), cursor)
}

func TestWait(t *testing.T) {
	for _, row := range []struct{ query, prefer string }{
		{"wait=1", ""},
		{"wait=1s", ""},
		{"", "wait=1"},
		{"", `respond-async, Wait = "1"; x`},
		{"wait=1", "wait=50"},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, err := hub.New(hub.Config{})
			require.NoError(t, err)
			registry := connection.NewRegistry(0, 0)
			polls := tt.Must(longpoll.New(longpoll.Config{Hub: h, Registry: registry, Counters: new(connection.Counters), WriteTimeout: time.Second}))
			r := httptest.NewRequest(http.MethodGet, "/poll?"+row.query, nil)
			if row.prefer != "" {
				r.Header.Set("Prefer", row.prefer)
			}
			w := httptest.NewRecorder()
			begin := time.Now()
			tt.Authorized(tt.NewToken(&auth.Grant{Subscribe: hub.NewFilterSet(hub.Everything)}), polls).ServeHTTP(w, r)
			require.Equal(t, time.Second, time.Since(begin), "%+v", row)
			answer, err := wire.DecodePollAnswer(w.Body.Bytes())
			require.NoError(t, err)
			require.Empty(t, answer.Events)
			registry.Close()
			require.NoError(t, h.Close())
		})
	}
}

// A waiting poll is answered when the first matching event is published.
func TestEventEndsWait(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	got := make(chan wire.PollAnswer)
	go func() {
		_, answer := get(t, s, "topic=a&wait=50")
		got <- answer
	}()
	require.Eventually(t, func() bool { return s.Hub.Stats().Subscriptions == 1 }, tt.Patience, time.Millisecond)
	e := tt.JSON("a", `1`)
	s.Publish(t, tt.JSON("b", `0`), e)
	answer := <-got
	require.Len(t, answer.Events, 1)
	require.Equal(t, e.ID.String(), answer.Cursor)
}

func TestClientDisconnects(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	conn, err := net.Dial("tcp", s.Addr)
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET /poll?wait=50 HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Poll.Connections.Load() == 1 }, tt.Patience, time.Millisecond)
	conn.Close()
	require.Eventually(t, func() bool { return s.Poll.Connections.Load() == 0 }, tt.Patience, time.Millisecond)
	require.Zero(t, s.Hub.Stats().Subscriptions)
}

// Over HTTP/1.0, an answer of any size has a Content-Length and no chunks, so that the connection can stay
// open.
func TestHTTP10(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	c, err := s.Dial(tt.Request{})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(tt.Patience)))
	r := bufio.NewReader(c)
	for _, size := range []int{2, 1 << 10, 1700, 1800, 1900, 2 << 10, 5 << 10, 300 << 10} {
		e := tt.JSON("a", `"`+strings.Repeat("a", size-2)+`"`)
		s.Publish(t, e)
		_, err = io.WriteString(c, "GET /poll?last=1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
		require.NoError(t, err)
		response, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.Empty(t, response.TransferEncoding)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.EqualValues(t, len(body), response.ContentLength)
		answer, err := wire.DecodePollAnswer(body)
		require.NoError(t, err)
		require.Len(t, answer.Events, 1)
		require.Equal(t, e.Data, answer.Events[0].Data)
	}
}

func TestBadParameters(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for query, parameter := range map[string]string{
		"wait=61": "wait", "wait=-1": "wait", "wait=1m": "wait", "wait=": "wait", "wait=1&wait=1": "wait",
		"max=0": "max", "max=1001": "max", "max=x": "max", "max=1&max=1": "max",
	} {
		response, err := http.Get("http://" + s.Addr + "/poll?" + query)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, 400, response.StatusCode, query)
		require.Contains(t, string(body), `"parameter":"`+parameter+`"`)
	}
}

// A client that reads a large answer slowly receives all of it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for !readSlowly(t) {
		t.Log("the machine paused the reader for too long")
	}
}

// readSlowly returns false if the client was paused for so long that the hub may close the connection. In
// this case the test is inconclusive and must be repeated.
func readSlowly(t *testing.T) bool {
	const timeout = 3 * time.Second // long, because a busy machine may pause the reader
	const size = 16 << 20           // more than the kernel can buffer
	s := tt.Start(t, tt.Config{WriteTimeout: timeout, Hub: hub.Config{MaxEventSize: size}})
	s.Publish(t, tt.JSON("a", `"`+strings.Repeat("a", size-2)+`"`))
	c, err := s.Dial(tt.Request{Slow: true})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(tt.Patience)))
	_, err = io.WriteString(c, "GET /poll?last=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	got, buffer, begin := 0, make([]byte, 64<<10), time.Now()
	last, longest := begin, time.Duration(0) // time of the last read, and longest time between two reads
	for i := 0; ; i++ {
		longest, last = max(longest, time.Since(last)), time.Now()
		n, err := c.Read(buffer)
		got += n
		if (err == io.EOF && got <= size || err != nil && err != io.EOF) && longest > timeout/4 {
			return false
		}
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if i%2 == 0 && time.Since(begin) < 3*timeout/2 {
			time.Sleep(time.Millisecond) // the delay simulates a slow reader
		}
	}
	require.Greater(t, got, size)
	return true
}
