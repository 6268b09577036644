package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/problems"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestWriteProblem(t *testing.T) {
	for name, c := range map[string]struct {
		method    string
		problem   *problems.Problem
		challenge string
		retry     string
		body      string
	}{
		"parameter": {
			problem: problems.BadParameter("last", "must be 0 to 1000"),
			body: `{"type":"urn:trivium:problem:invalid-parameter","title":"Invalid parameter","status":400,` +
				`"detail":"last: must be 0 to 1000","parameter":"last"}` + "\n",
		},
		"no token": {
			problem:   problems.MissingToken(),
			challenge: `Bearer realm="trivium"`,
		},
		"bad token": {
			problem:   problems.InvalidToken("the token is not valid"),
			challenge: `Bearer realm="trivium", error="invalid_token", error_description="the token is not valid"`,
		},
		"bad token without a reason": {
			problem:   problems.InvalidToken(""),
			challenge: `Bearer realm="trivium", error="invalid_token"`,
		},
		"token ended": {
			problem:   problems.TokenEnded(),
			challenge: `Bearer realm="trivium", error="invalid_token", error_description="the token has expired or was revoked"`,
		},
		"no right": {
			problem:   problems.Forbidden("may not publish on \"caf\u00e9\\\r\n\""),
			challenge: `Bearer realm="trivium", error="insufficient_scope", error_description="may not publish on 'caf?'??'"`,
		},
		"foreign origin":         {problem: problems.ForeignOrigin("foreign"), challenge: `Bearer realm="trivium"`},
		"misdirected host":       {problem: problems.MisdirectedHost("misdirected")},
		"HEAD":                   {method: http.MethodHead, problem: problems.NotFound(), body: "none"},
		"retry after 1 ns":       {problem: problems.Draining(time.Nanosecond), retry: "1"},
		"retry after 1 s":        {problem: problems.Draining(time.Second), retry: "1"},
		"retry after 2 s + 1 ns": {problem: problems.Draining(2*time.Second + 1), retry: "3"},
		"no retry delay":         {problem: problems.Draining(0)},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Www-Authenticate", "Basic")
			if c.challenge == "" {
				w.Header().Del("Www-Authenticate")
			}
			method := c.method
			if method == "" {
				method = http.MethodPost
			}
			WriteProblem(w, httptest.NewRequest(method, "/", nil), c.problem)
			require.Equal(t, c.problem.Status, w.Code)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, c.retry, w.Header().Get("Retry-After"))
			require.Equal(t, c.challenge, w.Header().Get("WWW-Authenticate"))
			switch c.body {
			case "":
				require.JSONEq(t, string(c.problem.AppendJSON(nil)), w.Body.String())
			case "none":
				require.Empty(t, w.Body.String())
			default:
				require.Equal(t, c.body, w.Body.String())
			}
		})
	}
}

func TestAllow(t *testing.T) {
	w := httptest.NewRecorder()
	require.True(t, AllowMethods(w, httptest.NewRequest(http.MethodHead, "/", nil), http.MethodGet, http.MethodHead))
	require.Empty(t, w.Header())

	require.False(t, AllowMethods(w, httptest.NewRequest(http.MethodPost, "/", nil), http.MethodGet, http.MethodHead))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))

	w = httptest.NewRecorder()
	require.False(t, AllowMethods(w, httptest.NewRequest(http.MethodOptions, "/", nil), http.MethodGet, http.MethodHead))
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Equal(t, "GET, HEAD, OPTIONS", w.Header().Get("Allow"))

	w = httptest.NewRecorder()
	NotFound(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}

// A client that has announced a body receives the error response, even if it never sends the body.
func TestRefusedBeforeBody(t *testing.T) {
	for name, p := range map[string]*problems.Problem{"403": problems.ForeignOrigin("foreign"), "408": problems.RequestTimeout()} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				WriteProblem(w, r, p)
			})}
			listener := &chanListener{conns: make(chan net.Conn, 1)}
			listener.conns <- server
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = srv.Serve(listener)
			}()
			begin := time.Now()
			fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
			response, err := http.ReadResponse(bufio.NewReader(client), nil)
			require.NoError(t, err, name)
			require.Equal(t, p.Status, response.StatusCode)
			require.True(t, response.Close, "the server must close the connection, because the next bytes may belong to the body")
			if p.Status == http.StatusRequestTimeout {
				require.Zero(t, time.Since(begin), "after a timeout, the server must not wait for the body again")
			} else {
				require.Equal(t, bodyGrace, time.Since(begin))
			}
			_, err = io.Copy(io.Discard, client)
			require.NoError(t, err)
			require.NoError(t, srv.Close())
			<-done
		})
	}
}

// chanListener is a listener that accepts the connections in conns.
type chanListener struct{ conns chan net.Conn }

func (l *chanListener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *chanListener) Close() error {
	close(l.conns)
	return nil
}

func (l *chanListener) Addr() net.Addr { return &net.TCPAddr{} }
