package main

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
)

// publishPartly starts a publish request and leaves its body incomplete.
func (p *process) publishPartly(header, part string) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.http)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { conn.Close() })
	require.NoError(p.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "POST /publish HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n\r\n%x\r\n%s\r\n", p.http, header, len(part), part)
	require.NoError(p.t, err)
	return conn
}

// While the body of a request is incomplete, another request with the same idempotency key is
// refused, because the key is in use. When the first request is aborted, the key is free.
func TestKeyInUseIsRefused(t *testing.T) {
	p := serve(t, program(t, nil, append(anyPorts, "--auth", "none")...))
	first := p.publishPartly("Content-Type: application/json\r\nIdempotency-Key: k", `{"topic":"a",`)
	second := func(body string) int {
		r, err := http.NewRequest(http.MethodPost, "http://"+p.http+"/publish", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "k")
		response, err := p.client.Do(r)
		require.NoError(t, err)
		response.Body.Close()
		return response.StatusCode
	}
	require.Eventually(t, func() bool { return p.stats().Events.IdempotencyKeys == 1 }, patience, 10*time.Millisecond)
	require.Equal(t, http.StatusConflict, second(`{}`))
	first.Close()
	require.Eventually(t, func() bool { return second(`{"topic":"a","data":1}`) == http.StatusOK }, patience, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, second(`{"topic":"a","data":1}`))
	require.Equal(t, http.StatusUnprocessableEntity, second(`{"topic":"a","data":2}`))
	require.EqualValues(t, 1, p.stats().Events.Published)
}

// If the hub shuts down during a stream of events, it answers with the number of events that it has
// published.
func TestStreamReportsProgressAtShutdown(t *testing.T) {
	p := serve(t, program(t, nil, append(anyPorts, "--auth", "none")...))
	stream := p.publishPartly("Content-Type: application/x-ndjson", "{\"topic\":\"a\",\"data\":1}\n{\"topic\":")
	require.Eventually(t, func() bool { return p.stats().Events.Published == 1 }, patience, 10*time.Millisecond)
	p.signal(syscall.SIGTERM)
	response, err := http.ReadResponse(bufio.NewReader(stream), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.NotEmpty(t, response.Header.Get("Retry-After"))
	require.Contains(t, string(body), `"line":2,"accepted":1`)
	code, _ := p.wait()
	require.Equal(t, exitDone, code)
}
