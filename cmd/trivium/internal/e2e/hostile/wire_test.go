package hostile

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

var wireAttacks = []attack{
	{"a request header that is sent one byte at a time, or never completed", slowHeader},
	{"a request body that is sent one byte at a time, or never completed", slowBody},
	{"a request header of 2 MiB", largeHeader},
	{"a second request that is hidden in the body of a request (request smuggling)", smuggling},
	{"a small compressed WebSocket message that decompresses to 32 MiB", compressionBomb},
}

// sendSlowly writes the parameter first at once. Then it writes the parameter slow, one byte every 50 ms, and
// repeats this until the hub closes the connection. It returns the answer and the time until the connection
// was closed.
func (f *testbed) sendSlowly(x *exchange, first, slow string) (answer string, took time.Duration, err error) {
	begin := time.Now()
	if _, err := io.WriteString(x.conn, first); err != nil {
		return "", 0, err
	}
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; slow != ""; i++ {
			select {
			case <-stopped:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = io.WriteString(x.conn, slow[i%len(slow):i%len(slow)+1]) // fails when the hub has closed the connection
			}
		}
	}()
	text, err := io.ReadAll(x.reader)
	close(stopped)
	<-ended
	if errors.Is(err, syscall.ECONNRESET) {
		err = nil // the hub closed the connection without reading everything
	}
	return string(text), time.Since(begin), err
}

// requireCutOff calls sendSlowly for each attempt, on the main and admin listeners of the hub testbed.open.
// The key of an attempt is the string to send first; the value is the string to send slowly. The hub must
// close each connection in time.
func (f *testbed) requireCutOff(t *testing.T, attempts map[string]string) {
	t.Helper()
	const most = openReadTimeout + time.Second // after a refusal, the hub waits one second for the body
	var all sync.WaitGroup
	for first, slow := range attempts {
		for _, address := range []string{f.open.HTTP, f.open.Admin} {
			x := f.send(t, address, "")
			require.NoError(t, x.conn.SetDeadline(time.Now().Add(most+allowed)))
			all.Go(func() {
				answer, took, err := f.sendSlowly(x, strings.ReplaceAll(first, "HOST", address), slow)
				if err != nil || took > most+allowed-promised || strings.Count(answer, "HTTP/1.1") > 2 {
					t.Errorf("%q: the connection was closed after %v: %v, %q", first, took, err, answer)
				}
			})
		}
	}
	all.Wait()
}

func slowHeader(t *testing.T, f *testbed) {
	f.requireCutOff(t, map[string]string{
		"":                                    "",
		"G":                                   "",
		"GET /sse":                            "x",
		"GET /poll?wait=0 HTTP/1.1\r\n":       "X-A: b\r\n",
		"POST /publish/slow HTTP/1.1\r\nX":    "x",
		"GET / HTTP/1.1\r\nHost: HOST\r\nX: ": " ",
		"\r\n\r\n":                            "\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":    "",
	})
}

func slowBody(t *testing.T, f *testbed) {
	attempts := map[string]string{}
	for _, line := range []string{
		"GET /", "GET /healthz", "GET /readyz", "GET /nowhere", "HEAD /sse", pollNow, "POST /ws", "POST /session", "DELETE /session",
		"POST /publish", "POST /publish/slow", "PUT /publish", "OPTIONS /publish", "GET /stats", "GET /metrics", "GET /debug/pprof/cmdline",
	} {
		for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked", "Content-Length: 1000\r\nExpect: 100-continue"} {
			for _, kind := range []string{"application/json", "application/x-ndjson"} {
				r := request{line: line, host: "HOST", header: []string{framing, "Content-Type: " + kind}}
				attempts[r.text()] = ""
				if framing != "Transfer-Encoding: chunked" {
					attempts[r.text()+"{"] = " "
				}
			}
		}
	}
	// A stream is opened even if the body of its request does not arrive. It stays open after the read timeout.
	streams := map[*exchange]request{}
	for _, line := range []string{"GET /sse", "GET /ws?subscribe=none"} {
		r := request{line: line, host: f.open.HTTP, header: []string{"Content-Length: 1000"}}
		streams[f.send(t, f.open.HTTP, r.text())] = r
	}
	f.requireCutOff(t, attempts)
	for x, r := range streams {
		f.readAnswer(t, x, r)
		require.Equal(t, http.StatusOK, x.status, r.line)
	}
	x := f.do(t, request{hub: f.open, line: "POST /publish/in.time", body: "1"})
	require.Equal(t, http.StatusOK, x.status)
}

func largeHeader(t *testing.T, f *testbed) {
	large := strings.Repeat("x", 2<<20)
	for _, address := range []string{f.main.HTTP, f.main.Admin} {
		for _, text := range []string{
			"GET / HTTP/1.1\r\nHost: HOST\r\nX: " + large + "\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: HOST\r\n" + strings.Repeat("X: y\r\n", 2<<20/6) + "\r\n",
			"GET /?" + large + " HTTP/1.1\r\nHost: HOST\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: HOST\r\nCookie: " + strings.Repeat("a=b; ", 2<<20/5) + "\r\n\r\n",
			"GET /sse HTTP/1.1\r\nHost: HOST\r\nSec-WebSocket-Protocol: " + strings.Repeat("a,", 2<<20/2) + "\r\n\r\n",
		} {
			x := f.send(t, address, strings.Replace(text, "HOST", address, 1))
			response, err := http.ReadResponse(x.reader, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
			require.True(t, response.Close)
			_, _ = io.Copy(io.Discard, x.reader) // waits until the hub closes the connection
		}
	}
}

// smuggling sends bytes that a proxy would treat as one request, and a faulty server as two. The hub
// must send only one answer, and the second request, which is hidden in the first, must have no effect.
func smuggling(t *testing.T, f *testbed) {
	authorization := "Authorization: Bearer " + f.tokens["master"]
	hidden := fmt.Sprintf("POST /publish/smuggled HTTP/1.1\r\nHost: %s\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%q",
		f.main.HTTP, authorization, len(breach)+2, breach)
	x := f.send(t, f.main.HTTP, strings.Replace(hidden, breach, "inside", 1))
	response, err := http.ReadResponse(x.reader, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "the request is accepted if it is not hidden in another one")
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	length := fmt.Sprintf("Content-Length: %d", len(hidden))
	for name, c := range map[string]struct{ line, header, body string }{
		"length with chunks":            {"POST /publish/outer", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden},
		"chunks with length":            {"POST /publish/outer", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n" + hidden},
		"length with chunks in a GET":   {pollNow, "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden},
		"chunks, refused":               {"POST /publish/outer?access_token=x", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden},
		"two lengths":                   {"POST /publish/outer", "Content-Length: 0\r\n" + length, hidden},
		"two lengths, in reverse order": {"POST /publish/outer", length + "\r\nContent-Length: 0", hidden},
		"two lengths in one":            {"POST /publish/outer", "Content-Length: 0, 5", hidden},
		"a length with a sign":          {"POST /publish/outer", "Content-Length: +0", hidden},
		"a negative length":             {"POST /publish/outer", "Content-Length: -1", hidden},
		"a length in hex":               {"POST /publish/outer", "Content-Length: 0x0", hidden},
		"an empty length":               {"POST /publish/outer", "Content-Length: ", hidden},
		"a length over 64 bits":         {"POST /publish/outer", "Content-Length: 18446744073709551616", hidden},
		"another encoding":              {"POST /publish/outer", "Transfer-Encoding: xchunked", chunk + hidden},
		"another encoding, length":      {"POST /publish/outer", "Content-Length: 0\r\nTransfer-Encoding: xchunked", hidden},
		"chunked twice":                 {"POST /publish/outer", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden},
		"chunked and identity":          {"POST /publish/outer", "Transfer-Encoding: chunked, identity\r\nContent-Length: 0", hidden},
		"identity":                      {"POST /publish/outer", "Transfer-Encoding: identity\r\nContent-Length: 0", hidden},
		"chunked with a tab":            {"POST /publish/outer", "Transfer-Encoding:\tchunked\r\nContent-Length: 5", "0\r\n\r\n" + hidden},
		"chunked with a space":          {"POST /publish/outer", "Transfer-Encoding : chunked\r\nContent-Length: 0", hidden},
		"chunked with an odd byte":      {"POST /publish/outer", "Transfer-Encoding: \x0bchunked\r\nContent-Length: 0", hidden},
		"chunked in quotes":             {"POST /publish/outer", "Transfer-Encoding: \"chunked\"\r\nContent-Length: 0", hidden},
		"chunked on a folded line":      {"POST /publish/outer", "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5", "0\r\n\r\n" + hidden},
		"a header behind a bare LF":     {"POST /publish/outer", "Content-Length: 5\r\nX: y\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden},
		"a header behind a bare CR":     {"POST /publish/outer", "Content-Length: 0\r\nX: y\rTransfer-Encoding: chunked", hidden},
		"a header behind a NUL":         {"POST /publish/outer", "Content-Length: 0\r\nX: y\x00Transfer-Encoding: chunked", hidden},
		"a chunk behind a bare LF":      {"POST /publish/outer", "Transfer-Encoding: chunked", "1;x\nx\r\n1\r\n0\r\n0\r\n\r\n" + hidden},
		"a chunk size over 64 bits":     {"POST /publish/outer", "Transfer-Encoding: chunked", "10000000000000000\r\n" + hidden},
		"a chunk size with a sign":      {"POST /publish/outer", "Transfer-Encoding: chunked", "+0\r\n\r\n" + hidden},
		"a chunk without its end":       {"POST /publish/outer", "Transfer-Encoding: chunked", "1\r\n1XX0\r\n\r\n" + hidden},
		"a trailer":                     {"POST /publish/outer", "Transfer-Encoding: chunked\r\nTrailer: Content-Length", "1\r\n1\r\n0\r\n" + length + "\r\n\r\n" + hidden},
		"hidden in a body":              {"POST /publish/outer", length, hidden},
		"hidden in a refused body":      {"POST /publish/outer?access_token=x", length, hidden},
		"hidden in the body of a request from another origin": {"POST /publish/outer", "Origin: https://evil.test\r\n" + length, hidden},
		"hidden in the body of GET":                           {pollNow, length, hidden},
		"hidden behind a stream":                              {"GET /sse?access_token=x", length, hidden},
		"hidden behind a WebSocket":                           {"GET /ws?access_token=x", strings.Join(upgrade, "\r\n") + "\r\n" + length, hidden},
		"hidden behind an upgrade":                            {pollNow, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n" + length, hidden},
		"hidden after Expect: 100-continue":                   {"POST /publish/outer", "Expect: 100-continue\r\n" + length, hidden},
		"a line break in the target":                          {"GET /poll?wait=0%0d%0a%0d%0a" + hidden[:20], length, hidden},
		"HTTP/0.9":                                            {"GET /poll?wait=0\r\n\r\n", length, hidden},
	} {
		header := "Host: " + f.main.HTTP + "\r\n" + authorization + "\r\nContent-Type: application/octet-stream\r\n"
		if strings.Contains(c.line, "access_token") {
			header = "Host: " + f.main.HTTP + "\r\n"
		}
		x := f.send(t, f.main.HTTP, "")
		_, err := io.WriteString(x.conn, c.line+" HTTP/1.1\r\n"+header+c.header+"\r\n\r\n"+c.body)
		require.NoError(t, err)
		require.NoError(t, x.conn.(interface{ CloseWrite() error }).CloseWrite())
		answers, err := io.ReadAll(x.reader)
		if err != nil {
			require.ErrorContains(t, err, "reset", name)
		}
		finals := bytes.Count(answers, []byte("HTTP/1.1 ")) - bytes.Count(answers, []byte("HTTP/1.1 100 "))
		require.LessOrEqual(t, finals, 1, "%s: %s", name, answers)
	}
	// After the hub has accepted a WebSocket or stream, it does not interpret further bytes as an HTTP request.
	for line, opened := range map[string]string{
		"GET /ws?topic=smuggled.after":  `"op":"hello"`,
		"GET /sse?topic=smuggled.after": "event: trivium.open",
	} {
		r := request{line: line, token: f.tokens["master"], host: f.main.HTTP, header: []string{length}}
		x := f.send(t, f.main.HTTP, r.text()+hidden)
		var answers []byte
		read := func(until string) {
			for err := error(nil); err == nil && !bytes.Contains(answers, []byte(until)); {
				var b byte
				if b, err = x.reader.ReadByte(); err == nil {
					answers = append(answers, b)
				}
			}
		}
		read(opened)
		after := f.do(t, request{line: "POST /publish/smuggled.after", token: f.tokens["master"], body: `"after"`})
		require.Equal(t, http.StatusOK, after.status)
		read(`"after"`) // a WebSocket may be closed instead, because the bytes are not a valid frame
		require.Equal(t, 1, bytes.Count(answers, []byte("HTTP/1.1 ")), "%s: %s", line, answers)
	}
}

// compressionBomb sends 30 messages of 32 MiB, each compressed to about 32 KiB.
func compressionBomb(t *testing.T, f *testbed) {
	var bomb bytes.Buffer
	w, err := flate.NewWriter(&bomb, flate.BestCompression)
	require.NoError(t, err)
	for _, part := range []string{`{"op":"publish","topic":"bomb","data":"`, strings.Repeat("x", 32<<20), `"}`} {
		_, err = io.WriteString(w, part)
		require.NoError(t, err)
	}
	require.NoError(t, w.Flush())
	require.Less(t, bomb.Len(), 64<<10, "the compressed size is within the limits")
	payload := bytes.TrimSuffix(bomb.Bytes(), []byte("\x00\x00\xff\xff"))
	// The attack measures the memory of this hub. Therefore the hub has no other clients, and its binary
	// is built without the race detector.
	p := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--read-timeout", "10m", "--ws-compression")...))
	before := p.Resident()
	var bombed []*exchange
	for range 30 {
		x := f.start(t, request{hub: p, line: "GET /ws?subscribe=none", header: []string{"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"}})
		require.Equal(t, http.StatusOK, x.status)
		require.NotEmpty(t, x.header.Get("Sec-WebSocket-Extensions"))
		_, err := x.conn.Write(clientFrame(bitFin|bitDeflated|opText, payload))
		require.NoError(t, err)
		bombed = append(bombed, x)
	}
	for _, x := range bombed {
		_, code, err := x.message()
		require.NoError(t, err)
		require.Equal(t, 1009, code)
	}
	grown := p.Resident() - before
	t.Logf("resident memory grew by %d KiB", grown>>10)
	require.Less(t, grown, int64(32<<20), "the hub uses less memory than the expanded size of one message")
}
