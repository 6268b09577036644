package clienttest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// platformSuite checks that a platform meets the requirements of client.Platform.
func platformSuite(t *testing.T, e *env) {
	for name, scenario := range map[string]func(*testing.T, *env){
		"answers":          testAnswers,
		"streamed body":    testStreamedBody,
		"big bodies":       testBigBodies,
		"abort header":     testAbortHeader,
		"abort body":       testAbortBody,
		"close ends read":  testCloseEndsRead,
		"refused":          testRefused,
		"errors and token": testErrorsHideTokens,
		"socket":           testSocket,
		"socket closes":    testSocketCloses,
		"socket lost":      testSocketLost,
		"socket silent":    testSocketSilent,
		"socket refused":   testSocketRefused,
		"socket dial ends": testSocketDialEnds,
		"own":              testOwn,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, e)
		})
	}
}

func withPatience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func get(address string) *client.Request {
	return &client.Request{Method: http.MethodGet, URL: address}
}

// news waits for the next report from a peer whose URL contains the test's name (see named).
func (e *env) news(t *testing.T) string {
	t.Helper()
	var answer struct{ News string }
	e.ask(t, http.MethodGet, "/peer/wait", url.Values{"name": {t.Name()}}, &answer)
	return answer.News
}

// named returns the URL of a peer. The test's name is a parameter of the URL.
func (e *env) named(t *testing.T, peer string) string {
	return e.control + "/peer/" + peer + "?name=" + url.QueryEscape(t.Name())
}

func testAnswers(t *testing.T, e *env) {
	ctx := withPatience(t)
	for _, c := range []struct {
		method string
		status int
		body   string
	}{
		{"GET", 200, ""}, {"POST", 200, "x"}, {"POST", 201, ""}, {"POST", 404, "è\x00"}, {"DELETE", 503, ""},
		{"POST", 401, "x"}, {"GET", 302, ""}, {"GET", 204, ""}, {"HEAD", 200, ""}, {"HEAD", 429, ""},
	} {
		request := &client.Request{
			Method: c.method, URL: e.control + "/peer/echo?status=" + strconv.Itoa(c.status),
			Header: map[string]string{"X-Sent": "a b", "Content-Type": "application/json"},
		}
		if c.body != "" {
			request.Body = []byte(c.body)
		}
		response, err := e.platform.Do(ctx, request)
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.status, response.Status)
		if c.status == 302 { // a page cannot see this status
			require.NoError(t, response.Body.Close())
			continue
		}
		require.Equal(t, c.method, response.Header("X-Method"))
		require.Equal(t, "a b", response.Header("x-sent"))
		require.Equal(t, strconv.Itoa(len(c.body)), response.Header("X-Length"))
		require.Equal(t, "", response.Header("X-Absent"))
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, c.body, string(text))
		n, err := response.Body.Read(make([]byte, 1))
		require.Equal(t, 0, n)
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, response.Body.Close())
	}
}

// begun requests a stream, and returns the answer after it has read the first part of the body.
func begun(t *testing.T, e *env, ctx context.Context) *client.Response {
	t.Helper()
	response, err := e.platform.Do(ctx, get(e.named(t, "stream")))
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	one := make([]byte, 3)
	_, err = io.ReadFull(response.Body, one)
	require.NoError(t, err)
	require.Equal(t, "one", string(one))
	return response
}

func testStreamedBody(t *testing.T, e *env) {
	response := begun(t, e, withPatience(t))
	e.ask(t, http.MethodPost, "/peer/tell", url.Values{"name": {t.Name() + "-go"}}, nil)
	for _, want := range "two" { // reads byte by byte, although the bytes arrive as one chunk
		b := make([]byte, 1)
		_, err := io.ReadFull(response.Body, b)
		require.NoError(t, err)
		require.Equal(t, string(want), string(b))
	}
	require.NoError(t, response.Body.Close())
	require.Equal(t, "left", e.news(t))
}

func testBigBodies(t *testing.T, e *env) {
	ctx := withPatience(t)
	response, err := e.platform.Do(ctx, get(e.control+"/peer/bytes?n=8000000"))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.True(t, string(pattern(8_000_000)) == string(body), "the %d received bytes equal those that were sent", len(body))

	sent := &client.Request{Method: "POST", URL: e.control + "/peer/echo?status=200", Body: pattern(3_000_000)}
	back, err := e.platform.Do(ctx, sent)
	require.NoError(t, err)
	defer back.Body.Close()
	body, err = io.ReadAll(back.Body)
	require.NoError(t, err)
	require.True(t, string(sent.Body) == string(body), "the echo of %d bytes equals the body", len(body))
}

func testAbortHeader(t *testing.T, e *env) {
	ctx, cancel := context.WithCancel(withPatience(t))
	ended := make(chan error, 1)
	go func() {
		_, err := e.platform.Do(ctx, get(e.named(t, "hang")))
		ended <- err
	}()
	require.Equal(t, "asked", e.news(t))
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, "left", e.news(t))
	_, err := e.platform.Do(ctx, get(e.control+"/peer/bytes?n=1"))
	require.ErrorIs(t, err, context.Canceled)
}

// readOn reads from the body in a goroutine. The returned channel receives the error of the read.
func readOn(response *client.Response) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := response.Body.Read(make([]byte, 10))
		ended <- err
	}()
	return ended
}

func testAbortBody(t *testing.T, e *env) {
	for _, waits := range []bool{true, false} {
		ctx, cancel := context.WithCancel(withPatience(t))
		response := begun(t, e, ctx)
		if waits {
			ended := readOn(response)
			time.AfterFunc(10*time.Millisecond, cancel) // time for the read to block
			require.Error(t, <-ended)
		} else {
			cancel()
		}
		require.Equal(t, "left", e.news(t))
		_, err := response.Body.Read(make([]byte, 10))
		require.Error(t, err)
		require.NotErrorIs(t, err, io.EOF)
	}
}

func testCloseEndsRead(t *testing.T, e *env) {
	response := begun(t, e, withPatience(t))
	ended := readOn(response)
	time.AfterFunc(10*time.Millisecond, func() { response.Body.Close() }) // time for the read to block
	require.Error(t, <-ended)
	require.Equal(t, "left", e.news(t))
}

// nobody is an address without a listener.
const nobody = "127.0.0.1:9"

func testRefused(t *testing.T, e *env) {
	ctx := withPatience(t)
	_, err := e.platform.Do(ctx, get("http://"+nobody+"/"))
	require.Error(t, err)
	require.NoError(t, ctx.Err())
	_, err = e.platform.Dial(ctx, "ws://"+nobody+"/", nil)
	require.Error(t, err)
	require.NoError(t, ctx.Err())
}

func testErrorsHideTokens(t *testing.T, e *env) {
	ctx := withPatience(t)
	const token = "s3cr3t"
	for _, request := range []*client.Request{
		get("http://" + nobody + "/?access_token=" + token),
		get("http://[::1/?access_token=" + token),
		{Method: "GET", URL: e.control, Header: map[string]string{"Authorization": "Bearer " + token + "\nx"}},
	} {
		_, err := e.platform.Do(ctx, request)
		require.Error(t, err, "%+v", request)
		require.NotContains(t, err.Error(), token)
	}
	for _, c := range []struct{ url, protocol string }{
		{"ws://" + nobody + "/?access_token=" + token, "trivium.v1"},
		{"ws://[::1/?access_token=" + token, "trivium.v1"},
		{"ws://" + nobody + "/", "trivium.bearer." + token},
	} {
		_, err := e.platform.Dial(ctx, c.url, []string{c.protocol})
		require.Error(t, err)
		require.NotContains(t, err.Error(), token)
	}
	var problem *client.HandshakeError
	_, err := e.platform.Dial(ctx, "ws"+strings.TrimPrefix(e.control, "http")+"/peer/ws/403?access_token="+token, nil)
	require.Error(t, err)
	if !errors.As(err, &problem) {
		require.NotContains(t, err.Error(), token)
	}
}
