package hubs

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// publishPartly starts a publish request whose body begins with part, and does not send the rest of the body.
func publishPartly(p *hubtest.Process, header, part string) net.Conn {
	p.T.Helper()
	conn, err := net.Dial("tcp", p.HTTP)
	require.NoError(p.T, err)
	p.T.Cleanup(func() { conn.Close() })
	require.NoError(p.T, conn.SetDeadline(time.Now().Add(hubtest.Patience)))
	_, err = fmt.Fprintf(conn, "POST /publish HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n\r\n%x\r\n%s\r\n", p.HTTP, header, len(part), part)
	require.NoError(p.T, err)
	return conn
}

// While the body of a request is incomplete, the hub refuses another request with the same
// idempotency key, because the key is in use. After the first request was aborted, a request can use
// the key again.
func TestKeyInUseIsRefused(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none")...))
	first := publishPartly(p, "Content-Type: application/json\r\nIdempotency-Key: k", `{"topic":"a",`)
	second := func(body string) int {
		r, err := http.NewRequest(http.MethodPost, "http://"+p.HTTP+"/publish", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "k")
		response, err := p.Client.Do(r)
		require.NoError(t, err)
		response.Body.Close()
		return response.StatusCode
	}
	require.Eventually(t, func() bool { return p.Stats().Events.IdempotencyKeys == 1 }, hubtest.Patience, 10*time.Millisecond)
	require.Equal(t, http.StatusConflict, second(`{}`))
	first.Close()
	require.Eventually(t, func() bool { return second(`{"topic":"a","data":1}`) == http.StatusOK }, hubtest.Patience, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, second(`{"topic":"a","data":1}`))
	require.Equal(t, http.StatusUnprocessableEntity, second(`{"topic":"a","data":2}`))
	require.EqualValues(t, 1, p.Stats().Events.Published)
}

// If the hub shuts down while it receives events in a streamed request, its answer contains the number
// of events that it has published.
func TestStreamReportsProgressAtShutdown(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none")...))
	stream := publishPartly(p, "Content-Type: application/x-ndjson", "{\"topic\":\"a\",\"data\":1}\n{\"topic\":")
	require.Eventually(t, func() bool { return p.Stats().Events.Published == 1 }, hubtest.Patience, 10*time.Millisecond)
	p.Signal(syscall.SIGTERM)
	response, err := http.ReadResponse(bufio.NewReader(stream), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.NotEmpty(t, response.Header.Get("Retry-After"))
	require.Contains(t, string(body), `"line":2,"accepted":1`)
	code, _ := p.Wait()
	require.Zero(t, code)
}
