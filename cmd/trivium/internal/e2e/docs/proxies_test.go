//go:build unix

package docs

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Each transport and each way to publish works through each proxy with its configuration in docs/proxies.md. A
// browser's EventSource reconnects by itself after a restart of the hub.
func TestProxies(t *testing.T) {
	skipUnlessChosen(t)
	for _, f := range fronts {
		if f.program == "" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			p := startProxied(t, f)
			t.Run("SSE", p.sse)
			t.Run("WebSocket", p.websocket)
			t.Run("long-poll", p.poll)
			if f.name != "Apache" { // Apache reads 16 KB of a body before it forwards the request
				t.Run("NDJSON", p.ndjson)
			}
			t.Run("foreign origin", p.foreign)
			if f.name != "Apache" { // Apache answers 503 while the hub restarts, which ends an EventSource
				t.Run("restart", p.restart)
			}
		})
	}
}

// proxied is a hub, together with the proxy through which clients connect to it.
type proxied struct {
	front  front
	args   []string
	hub    *hubtest.Process
	base   string // URL of the proxy
	client *http.Client
}

func startProxied(t *testing.T, f front) *proxied {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePorts(t, 1)[0])
	p := &proxied{front: f, args: []string{
		"serve", "--http", address, "--udp", "off", "--admin", "127.0.0.1:0", "--auth", "none", "--engine", "embedded", "--store", t.TempDir(),
		"--log-format", "json", "--log-level", "debug", "--drain", "1s", "--trusted-proxy", "127.0.0.1", "--max-connections-per-address", "50",
	}}
	p.hub = hubtest.Start(t, hubtest.Binary(t, p.args...))
	scheme := "http://"
	if f.tls {
		scheme = "https://"
	}
	p.base = scheme + f.start(t, address)
	p.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: f.tls,
	}, Timeout: 2 * hubtest.Patience}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

func (p *proxied) publish(t *testing.T, data string) {
	t.Helper()
	response, err := p.client.Post(p.base+"/publish/a.b", "application/json", strings.NewReader(data))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
}

// sse requires that the proxy forwards each event immediately.
func (p *proxied) sse(t *testing.T) {
	response, err := p.client.Get(p.base + "/sse?topic=a.b")
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, "text/event-stream; charset=utf-8", response.Header.Get("Content-Type"))
	stream := decode.NewSSEDecoder(response.Body)
	e, err := stream.Next()
	require.NoError(t, err)
	require.Equal(t, "trivium.open", e.Type)
	for _, data := range []string{"1", "2", "3"} {
		p.publish(t, data)
		e, err := stream.Next()
		require.NoError(t, err)
		require.Equal(t, data, e.Data)
	}
}

func (p *proxied) websocket(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), hubtest.Patience)
	defer cancel()
	// WebSocket handshakes need HTTP/1.1.
	over := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer over.CloseIdleConnections()
	header := http.Header{"Origin": {p.base}}
	conn, _, err := websocket.Dial(ctx, strings.Replace(p.base, "http", "ws", 1)+"/ws?topic=a.b", &websocket.DialOptions{HTTPClient: over, HTTPHeader: header})
	require.NoError(t, err)
	defer conn.CloseNow()
	require.Equal(t, decode.OpHello, p.hub.Message(conn).Op)
	require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(`{"op":"publish","ref":1,"topic":"a.b","data":4}`)))
	for range 2 { // the event and the acknowledgement, in either order
		if m := p.hub.Message(conn); m.Op == "" {
			require.Equal(t, "4", string(m.Event.Data))
		} else {
			require.Equal(t, decode.OpAck, m.Op)
		}
	}
}

func (p *proxied) poll(t *testing.T) {
	answered := make(chan string, 1)
	go func() {
		response, err := p.client.Get(p.base + "/poll?topic=a.b&wait=60")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		answered <- string(text)
	}()
	require.Eventually(t, func() bool { return p.hub.Stats().Transports["longpoll"].Connections > 0 }, hubtest.Patience, time.Millisecond)
	p.publish(t, `"polled"`)
	require.Contains(t, <-answered, `"polled"`)
}

// ndjson requires that the hub publishes each line before the client sends the next one.
func (p *proxied) ndjson(t *testing.T) {
	response, err := p.client.Get(p.base + "/sse?topic=line")
	require.NoError(t, err)
	defer response.Body.Close()
	stream := decode.NewSSEDecoder(response.Body)
	_, err = stream.Next()
	require.NoError(t, err)
	body, lines := io.Pipe()
	done := make(chan string, 1)
	go func() {
		answer, err := p.client.Post(p.base+"/publish", "application/x-ndjson", body)
		if err != nil {
			done <- err.Error()
			return
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		done <- string(text)
	}()
	for _, data := range []string{"1", "2", "3"} {
		_, err := fmt.Fprintf(lines, `{"topic":"line","data":%s}`+"\n", data)
		require.NoError(t, err)
		e, err := stream.Next()
		require.NoError(t, err)
		require.Equal(t, data, e.Data)
	}
	require.NoError(t, lines.Close())
	require.Contains(t, <-done, `"count":3`)
}

// foreign requires that the hub compares a page's origin with the host and scheme that the proxy
// forwards.
func (p *proxied) foreign(t *testing.T) {
	request, err := http.NewRequest(http.MethodGet, p.base+"/sse", nil)
	require.NoError(t, err)
	request.Header.Set("Origin", strings.Replace(p.base, "://", "://evil.", 1))
	response, err := p.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusForbidden, response.StatusCode)
	require.Equal(t, problems.ContentType, response.Header.Get("Content-Type"))
}

// nativeSource is a script that opens only one EventSource. Therefore, if the connection is lost, only the
// browser can reconnect it.
const nativeSource = `
const events = new EventSource("/sse?topic=a.b");
events.onmessage = ({ data }) => console.log(data);
0`

// restart requires that an EventSource reconnects after the hub was drained and after it was killed.
func (p *proxied) restart(t *testing.T) {
	var said sync.Map // console output of the page
	page := openPage(t, startBrowser(t), p.base+"/healthz", func(text string) { said.Store(strings.TrimSpace(text), true) })
	_, err := chromedp.Run(page, chromedp.Evaluate[int](nativeSource))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.hub.Stats().Transports["sse"].Connections > 0 }, hubtest.Patience, time.Millisecond)
	for i, end := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGKILL} {
		if end != 0 {
			p.hub.Signal(end)
			p.hub.Wait()
			time.Sleep(3 * time.Second) // a restart may take three seconds, in which the browser retries
			p.hub = hubtest.Start(t, hubtest.Binary(t, p.args...))
		}
		data := fmt.Sprint(100 + i)
		p.hub.Publish("application/json", `{"topic":"a.b","data":`+data+`}`)
		require.Eventually(t, func() bool {
			_, came := said.Load(data)
			return came
		}, hubtest.Patience, 10*time.Millisecond, "the EventSource reconnects after signal %v", end)
	}
}
