package sse_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func TestMain(m *testing.M) {
	tt.SetParallelism()
	testkit.Main(m)
}

// request sends a raw request, in which \n stands for \r\n, and returns a reader for the answer.
func request(t *testing.T, s *tt.Server, head string) *bufio.Reader {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(tt.Patience)))
	_, err = io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n")
	require.NoError(t, err)
	return bufio.NewReader(conn)
}

// line reads a line. It requires that the line begins with prefix, and returns the rest of the line.
func line(t *testing.T, r *bufio.Reader, prefix string) string {
	t.Helper()
	s, err := r.ReadString('\n')
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(s, prefix), "%q does not begin with %q", s, prefix)
	return strings.TrimSuffix(s[len(prefix):], "\n")
}

// TestStreamBytes tests the bytes of a stream: the opening, past events, live events and the end.
func TestStreamBytes(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.0", "HTTP/1.1"} {
		for _, portable := range []bool{false, true} {
			t.Run(fmt.Sprint(proto, " portable ", portable), func(t *testing.T) {
				t.Parallel()
				s := tt.Start(t, tt.Config{Portable: portable})
				past, live := tt.JSON("a", `1`), &hub.Event{Topic: "a", Type: "kind", Data: []byte(`2`)}
				s.Publish(t, past)
				r := request(t, s, "GET /sse?last=1 "+proto+"\nHost: a")
				response, err := http.ReadResponse(r, nil)
				require.NoError(t, err)
				require.Equal(t, 200, response.StatusCode)
				require.Equal(t, "text/event-stream; charset=utf-8", response.Header.Get("Content-Type"))
				require.Equal(t, "no-cache, no-transform", response.Header.Get("Cache-Control"))
				require.Equal(t, "no", response.Header.Get("X-Accel-Buffering"))
				body := bufio.NewReader(response.Body)
				line(t, body, "retry: ")
				line(t, body, "event: trivium.open")
				require.Equal(t, hub.Cursor{Epoch: past.ID.Epoch}.String(), line(t, body, "id: "))
				require.Equal(t, "{}", line(t, body, "data: "))
				require.Empty(t, line(t, body, ""))
				require.Equal(t, past.ID.String(), line(t, body, "id: "))
				require.Equal(t, "a", line(t, body, "topic: "))
				require.Equal(t, "1", line(t, body, "data: "))
				require.Empty(t, line(t, body, ""))
				s.Publish(t, live)
				require.Equal(t, live.ID.String(), line(t, body, "id: "))
				require.Equal(t, "kind", line(t, body, "event: "))
				require.Equal(t, "a", line(t, body, "topic: "))
				require.Equal(t, "2", line(t, body, "data: "))
				require.Empty(t, line(t, body, ""))
				drain(s)
				retry := line(t, body, "retry: ")
				line(t, body, "event: trivium.goaway")
				require.Equal(t, live.ID.String(), line(t, body, "id: "))
				require.Equal(t, `{"retry_ms":`+retry+`}`, line(t, body, "data: "))
				require.Empty(t, line(t, body, ""))
				_, err = body.ReadByte()
				if proto == "HTTP/1.1" {
					require.Equal(t, io.ErrUnexpectedEOF, err, "the body must end without a last chunk")
				} else {
					require.Equal(t, io.EOF, err)
				}
				_, err = r.ReadByte()
				require.Equal(t, io.EOF, err, "the hub must close the connection after the body")
			})
		}
	}
}

func TestHead(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	response, err := http.Head("http://" + s.Addr + "/sse")
	require.NoError(t, err)
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	require.Equal(t, 200, response.StatusCode)
	require.Equal(t, "text/event-stream; charset=utf-8", response.Header.Get("Content-Type"))
	require.Zero(t, s.Hub.Stats().Subscriptions)
}

// A temporary refusal is sent as a stream, because an EventSource never reconnects after a status
// other than 200.
func TestRefused(t *testing.T) {
	s := tt.Start(t, tt.Config{Grant: &auth.Grant{Subscribe: hub.NewFilterSet()}})
	draining := tt.Start(t, tt.Config{})
	draining.Registry.Drain(context.Background(), time.Millisecond)
	for _, row := range []struct {
		server *tt.Server
		method string
		accept string
		status int // 200: the answer is a stream with an error
	}{
		{s, "GET", "text/event-stream", 403},
		{draining, "GET", "text/event-stream", 200},
		{draining, "GET", "text/html, Text/Event-Stream;q=0.5", 200},
		{draining, "GET", "*/*", 503},
		{draining, "GET", "text/*", 503},
		{draining, "HEAD", "text/event-stream", 503},
		{draining, "POST", "text/event-stream", 405},
	} {
		r := request(t, row.server, row.method+" /sse HTTP/1.1\nHost: a\nAccept: "+row.accept)
		response, err := http.ReadResponse(r, &http.Request{Method: row.method})
		require.NoError(t, err)
		require.Equal(t, row.status, response.StatusCode, "%+v", row)
		if row.status == 503 {
			require.NotEmpty(t, response.Header.Get("Retry-After"))
		}
		if row.status != 200 {
			continue
		}
		d := wire.NewSSEDecoder(response.Body, 0)
		e, err := d.Next()
		require.NoError(t, err)
		require.Equal(t, "trivium.error", e.Type)
		require.Contains(t, e.Data, `"status":503`)
		retry, ok := d.Retry()
		require.True(t, ok)
		require.GreaterOrEqual(t, retry, 2*time.Second)
		_, err = d.Next()
		require.Equal(t, io.ErrUnexpectedEOF, err, "the body must end without a last chunk")
	}
}

func TestBadEnvelope(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for _, query := range []string{"envelope=2", "envelope=", "envelope=1&envelope=1"} {
		response, err := http.ReadResponse(request(t, s, "GET /sse?"+query+" HTTP/1.1\nHost: a"), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, 400, response.StatusCode)
		require.Contains(t, string(body), `"parameter":"envelope"`)
	}
}

// The handler of an HTTP/2 stream returns when the hub has drained the stream, or when the client
// disconnects.
func TestHTTP2StreamEnds(t *testing.T) {
	t.Parallel()
	s := tt.Start(t, tt.Config{TLS: true})
	ctx, cancel := context.WithCancel(t.Context())
	get := overHTTP2(t, s)
	gone := get(ctx)
	defer gone.Body.Close()
	cancel()
	require.Eventually(t, func() bool { return s.Hub.Stats().Subscriptions == 0 }, tt.Patience, time.Millisecond)

	stays := get(t.Context())
	defer stays.Body.Close()
	s.Publish(t, tt.JSON("a", `"last"`))
	drain(s)
	body, err := io.ReadAll(stays.Body)
	require.ErrorContains(t, err, "INTERNAL_ERROR")
	require.Contains(t, string(body), `"last"`)
	require.Contains(t, string(body), "trivium.goaway")
	require.Zero(t, s.SSE.ClosedAtDeadline.Load())
	require.Zero(t, s.SSE.Connections.Load())
}

// overHTTP2 returns a function that requests a stream over HTTP/2.
func overHTTP2(t *testing.T, s *tt.Server) func(context.Context) *http.Response {
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return func(ctx context.Context) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.Addr+"/sse", nil)
		require.NoError(t, err)
		r.Header.Set("Accept", "text/event-stream")
		response, err := transport.RoundTrip(r)
		require.NoError(t, err)
		require.Equal(t, 2, response.ProtoMajor)
		return response
	}
}

// drain drains the server and returns when the last connection has ended. The window of the drain is so
// long that, even on a busy machine, the hub can write the end of every stream before the window ends.
func drain(s *tt.Server) { s.Registry.DrainSpread(context.Background(), time.Second, tt.Patience) }

// A body is terminated cleanly only if the client should not resume or if CleanEnd is set, because many
// client libraries never reconnect after a clean end.
func TestEndOfBody(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		before func(*tt.Server) // called before the request; may be nil
		after  func(*tt.Server) // called after the stream has started; may be nil
		event  string           // expected type of the last event
		clean  bool             // whether the body ends cleanly without CleanEnd
	}{
		{"goaway", nil, drain, "trivium.goaway", false},
		{"refused temporarily", drain, nil, "trivium.error", false},
		{"token ended", nil, func(s *tt.Server) { s.Token.SetGrant(nil) }, "trivium.error", true},
	} {
		for _, always := range []bool{false, true} {
			for _, two := range []bool{false, true} {
				t.Run(fmt.Sprint(row.name, " clean ", always, " HTTP/2 ", two), func(t *testing.T) {
					t.Parallel()
					s := tt.Start(t, tt.Config{TLS: two, CleanEnd: always})
					if row.before != nil {
						row.before(s)
					}
					body := endingStream(t, s, two)
					if row.after != nil {
						require.Eventually(t, func() bool { return s.SSE.Connections.Load() == 1 }, tt.Patience, time.Millisecond)
						row.after(s)
					}
					text, err := io.ReadAll(body)
					require.Contains(t, string(text), "event: "+row.event+"\n")
					if row.clean || always {
						require.NoError(t, err)
					} else {
						require.Error(t, err)
					}
				})
			}
		}
	}
}

// endingStream requests a stream and returns its body. The parameter two selects HTTP/2.
func endingStream(t *testing.T, s *tt.Server, two bool) io.Reader {
	t.Helper()
	if two {
		response := overHTTP2(t, s)(t.Context())
		t.Cleanup(func() { response.Body.Close() })
		return response.Body
	}
	r := request(t, s, "GET /sse HTTP/1.1\nHost: a\nAccept: text/event-stream")
	response, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	return response.Body
}

// The error message of a temporary refusal contains the cursor that the request contained. Therefore a
// client that stores the cursor of each message keeps its position.
func TestRefusedPosition(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	s.Registry.Drain(context.Background(), time.Millisecond)
	for query, id := range map[string]string{
		"?cursor=1f0c9a77-7": "1f0c9a77-7", "?lastEventId=1f0c9a77-8": "1f0c9a77-8", "": "", "?cursor=nonsense%0a": "",
	} {
		r := request(t, s, "GET /sse"+query+" HTTP/1.1\nHost: a\nAccept: text/event-stream")
		response, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		if response.StatusCode == http.StatusBadRequest {
			continue // an invalid cursor is not sent back
		}
		e, err := wire.NewSSEDecoder(response.Body, 0).Next()
		require.NoError(t, err)
		require.Equal(t, id, e.ID, query)
	}
}
