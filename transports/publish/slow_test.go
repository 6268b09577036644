package publish

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

// step is an action of a slow client, which sends text after a pause.
type step struct {
	pause time.Duration
	text  string
}

// drip returns steps that send text byte by byte, with a pause before each byte.
func drip(text string, pause time.Duration) []step {
	var steps []step
	for i := range len(text) {
		steps = append(steps, step{pause, text[i : i+1]})
	}
	return steps
}

func repeat(n int, s step) []step {
	steps := make([]step, n)
	for i := range steps {
		steps[i] = s
	}
	return steps
}

// TestSlowClient tests clients that send slowly or stop sending, and a slow engine.
func TestSlowClient(t *testing.T) {
	const limit = 10 * time.Second
	const second = time.Second
	for name, c := range map[string]struct {
		lines     bool
		steps     []step
		more      bool          // whether the body is still incomplete after the last step
		publish   time.Duration // duration of a publish
		status    int
		after     time.Duration // time from the first byte of the request to the answer
		line      int           // number of the refused line; 0: none
		published int           // number of published events
	}{
		"sends no body":              {more: true, status: 408, after: limit},
		"stops sending":              {steps: []step{{4 * second, good[:9]}}, more: true, status: 408, after: limit},
		"one byte per second":        {steps: drip(good, second), status: 408, after: limit},
		"line breaks in an envelope": {steps: append(repeat(5, step{9 * second, "\n"}), step{0, good}), status: 408, after: limit},
		"ten bytes per second":       {steps: drip(good, second/10), status: 200, after: time.Duration(len(good)) * second / 10, published: 1},
		"16 KiB per 9 seconds": {
			steps:  append(repeat(4, step{9 * second, strings.Repeat(" ", stretchSize)}), step{9 * second, good}),
			status: 200, after: 45 * second, published: 1,
		},
		"the engine is slow": {steps: []step{{0, good}}, publish: time.Minute, status: 200, after: time.Minute, published: 1},

		"lines: one line per 9 seconds": {
			lines: true, steps: repeat(7, step{9 * second, good + "\n"}), status: 200, after: 63 * second, published: 7,
		},
		"lines: one blank line per 9 seconds": {
			lines: true, steps: repeat(7, step{9 * second, "\n"}), status: 200, after: 63 * second,
		},
		"lines: stops within a line": {
			lines: true, steps: []step{{second, good + "\n"}, {second, good}}, more: true,
			status: 408, after: 2*second + limit, line: 2, published: 1,
		},
		"lines: one byte per second": {
			lines: true, steps: append([]step{{second, good + "\n"}}, drip(good+"\n", second)...),
			status: 408, after: 2*second + limit, line: 2, published: 1,
		},
		"lines: minutes between lines": {
			lines: true, steps: []step{{second, good + "\n"}, {150 * second, good + "\n"}, {150 * second, "\n"}, {150 * second, good}},
			status: 200, after: 451 * second, published: 3,
		},
		"lines: the engine is slow": {
			lines: true, steps: repeat(3, step{9 * second, good + "\n"}), publish: time.Minute,
			status: 200, after: 9*second + 3*time.Minute, published: 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, limit)
				f.engine.Engine = slowEngine{f.engine.Engine, c.publish}
				client := f.serve(t)
				begin := time.Now()
				sent := make(chan struct{})
				defer func() { <-sent }()
				defer client.Close()
				go func() {
					defer close(sent)
					length, contentType := 0, "application/json"
					for _, s := range c.steps {
						length += len(s.text)
					}
					if c.more {
						length++
					}
					if c.lines {
						contentType = "application/x-ndjson"
					}
					_, err := fmt.Fprintf(client, "POST /publish HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType, length)
					for _, s := range c.steps {
						if time.Sleep(s.pause); err != nil {
							return
						}
						_, err = io.WriteString(client, s.text)
					}
				}()
				response, err := http.ReadResponse(bufio.NewReader(client), nil)
				require.NoError(t, err)
				require.Equal(t, c.after, time.Since(begin))
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				require.Equal(t, c.status, response.StatusCode, string(body))
				require.Len(t, f.published(t), c.published)
				if c.status == http.StatusOK {
					require.False(t, response.Close)
					return
				}
				require.True(t, response.Close)
				var p problems.Problem
				require.NoError(t, p.UnmarshalJSON(body))
				require.Equal(t, c.line > 0, p.Line != nil)
				if p.Line != nil {
					require.Equal(t, []int{c.line, c.published}, []int{*p.Line, *p.Accepted})
				}
			})
		})
	}
}

// If possible, the hub refuses a request before its body has arrived. The clients in this test wait for
// the answer before they send the rest of the body.
func TestRefusedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		request   string
		status    int
		published int
	}{
		"too long": {
			request: "Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n",
			status:  413,
		},
		"an invalid line": {
			request: "Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n" + good + "\n{\n",
			status:  400, published: 1,
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, time.Hour)
			client := f.serve(t)
			begin := time.Now()
			_, err := io.WriteString(client, "POST /publish HTTP/1.1\r\nHost: a\r\n"+c.request)
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(client), nil)
			require.NoError(t, err)
			require.Zero(t, time.Since(begin), name)
			require.Equal(t, c.status, response.StatusCode)
			require.True(t, response.Close)
			require.Len(t, f.published(t), c.published)
			_, err = io.Copy(io.Discard, client)
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(begin), 2*time.Second, "the server must close the connection after a grace period for the rest of the body")
		})
	}
}

// If the client disconnects while the engine publishes its events, the events are still published.
func TestClientGone(t *testing.T) {
	for _, contentType := range []string{"application/json", "application/x-ndjson"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, 10*time.Second)
			f.engine.Engine = slowEngine{f.engine.Engine, time.Minute}
			client := f.serve(t)
			_, err := fmt.Fprintf(client, "POST /publish HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
				contentType, len(good), good)
			require.NoError(t, err)
			time.Sleep(time.Second)
			require.NoError(t, client.Close())
			time.Sleep(2 * time.Minute)
			require.Len(t, f.published(t), 1, contentType)
		})
	}
}

// slowEngine is an engine whose publishes take the given time, and fail if the caller's context ends
// earlier.
type slowEngine struct {
	hub.Engine
	time.Duration
}

func (e slowEngine) Publish(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	select {
	case <-ctx.Done():
		return hub.Cursor{}, ctx.Err()
	case <-time.After(e.Duration):
		return e.Engine.Publish(ctx, events)
	}
}

// serve starts a server with the fixture's handler, and returns the client's end of a connection to it.
func (f *fixture) serve(t *testing.T) net.Conn {
	t.Helper()
	client, conn := net.Pipe()
	listener := &listener{make(chan net.Conn, 1)}
	listener.conns <- conn
	server := &http.Server{Handler: f.handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		require.NoError(t, server.Close())
		<-done
	})
	return client
}

// listener is a net.Listener that accepts the connections in conns.
type listener struct{ conns chan net.Conn }

func (l *listener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *listener) Close() error {
	close(l.conns)
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }
