package hostile

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

var idleAttacks = []attack{
	{"more idle connections from one address than the limit of open files allows", func(t *testing.T, _ *testbed) {
		holdIdle(t, 300, 400, func(int) string { return "127.0.0.2" })
	}},
	{"more idle connections from many addresses than --max-connections allows", func(t *testing.T, _ *testbed) {
		holdIdle(t, 4096, 1300, func(i int) string { return fmt.Sprintf("127.0.1.%d", 1+i%100) }, "--max-connections", "100")
	}},
	{"connections from many addresses that never send a request", func(t *testing.T, _ *testbed) {
		// The first connection must not time out before the last one is open. Opening all of them
		// can take ten seconds on a slow machine.
		p := hubtest.LimitFiles(t, hubtest.Start, 300, hubtest.Binary(t, append(hubtest.AnyPorts, "--read-timeout", "10m")...))
		occupy(t, p, 400, "", func(i int) string { return fmt.Sprintf("127.0.2.%d", 1+i%200) })
		stillServes(t, p)
	}},
	{"more requests whose bodies never arrive than the limit of open files allows", stallBodies},
}

// stallBodies sends requests whose bodies never arrive. Those that need a token are sent from a single
// address, the others from many addresses. The hub must serve other clients.
func stallBodies(t *testing.T, _ *testbed) {
	for _, stalled := range []struct {
		line, header string
		source       func(int) string
	}{
		{"POST /publish/stalled", "Content-Length: 100", func(int) string { return "127.0.3.1" }},
		{"POST /publish", "Content-Type: application/x-ndjson\r\nContent-Length: 100", func(int) string { return "127.0.3.2" }},
		// GET is used, because after refusing a POST, the hub waits for the rest of the body for only one second.
		{"GET /healthz", "Content-Length: 100", func(i int) string { return fmt.Sprintf("127.0.4.%d", 1+i%200) }},
	} {
		p := hubtest.LimitFiles(t, hubtest.Start, 300, hubtest.Binary(t, append(hubtest.AnyPorts, "--read-timeout", "10m")...))
		text := fmt.Sprintf("%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n{\"", stalled.line, p.Token, stalled.header)
		for i := range 400 {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(stalled.source(i))}, Timeout: hubtest.Patience}
			conn, err := dialer.Dial("tcp", p.HTTP)
			require.NoError(t, err)
			t.Cleanup(func() { conn.Close() })
			_, _ = io.WriteString(conn, text) // fails if the hub has closed the connection to make room for others
		}
		stillServes(t, p)
	}
}

// holdIdle opens connections, sends one request without a token on each, and keeps them open. It
// requires that other clients are served.
func holdIdle(t *testing.T, files, connections int, source func(int) string, args ...string) {
	p := hubtest.LimitFiles(t, hubtest.Start, files, hubtest.Binary(t, append(hubtest.AnyPorts, args...)...))
	subscriber := p.SSE("topic=kept")
	held := occupy(t, p, connections, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", source)
	t.Logf("%d of %d idle connections are still open", held(), connections)
	stillServes(t, p)
	p.Publish("application/json", `{"topic":"kept","data":1}`)
	e, err := subscriber.Next()
	for err == nil && e.Type == "trivium.heartbeat" { // the first heartbeat is sent at a random time
		e, err = subscriber.Next()
	}
	require.NoError(t, err, "a subscriber with a token keeps its connection")
	require.Equal(t, "kept", e.Topic)
}

// occupy opens connections one after the other and keeps them open. If text is not empty, it sends
// text on each and reads the answer. It does not fail if the hub refuses or closes a connection. The
// returned function counts the connections that are still open.
func occupy(t *testing.T, p *hubtest.Process, connections int, text string, source func(int) string) (open func() int) {
	t.Helper()
	var all []net.Conn
	for i := range connections {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source(i))}, Timeout: hubtest.Patience}
		conn, err := dialer.Dial("tcp", p.HTTP)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		all = append(all, conn)
		if text == "" {
			continue
		}
		require.NoError(t, conn.SetDeadline(time.Now().Add(hubtest.Patience)))
		if _, err := io.WriteString(conn, text); err == nil {
			if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
			}
		}
	}
	return func() int {
		var reading sync.WaitGroup
		closed := make(chan struct{}, len(all))
		for _, conn := range all {
			reading.Go(func() {
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
					closed <- struct{}{}
				}
			})
		}
		reading.Wait()
		return len(all) - len(closed)
	}
}

// stillServes requires that the hub answers another client on its main and admin listeners, and that the log
// contains an error or a warning of too many connections.
func stillServes(t *testing.T, p *hubtest.Process) {
	t.Helper()
	for _, url := range []string{
		"http://" + p.HTTP + "/readyz", "http://" + p.HTTP + "/poll?wait=0", "http://" + p.Admin + "/metrics", "http://" + p.Admin + "/stats",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), hubtest.Patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+p.Token)
		begin := time.Now()
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		require.NoError(t, err, url)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode, url)
		t.Logf("%s answers in %v", url, time.Since(begin).Round(time.Millisecond))
	}
	p.Publish("application/json", `{"topic":"still","data":1}`)
	require.Eventually(t, func() bool {
		return strings.Contains(p.Log(), `"level":"ERROR"`) || strings.Contains(p.Log(), `"level":"WARN","msg":"too many connections`)
	}, hubtest.Patience, 10*time.Millisecond, "the hub has logged an error")
}
