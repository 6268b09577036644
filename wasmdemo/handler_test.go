package wasmdemo

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

// plain is the uncompressed content of a test binary.
var plain = bytes.Repeat([]byte("\x00asm wasm "), 50_000)

// ready starts a demo server whose WebAssembly binary is already built.
func ready(t *testing.T, configure func(*httptest.Server)) (*Demo, *httptest.Server) {
	t.Helper()
	d := New(Config{
		WriteTimeout: patience,
		Allow: func(w http.ResponseWriter, r *http.Request, methods ...string) bool {
			if r.Method == methods[0] || r.Method == methods[1] {
				return true
			}
			w.WriteHeader(http.StatusMethodNotAllowed)
			return false
		},
		NotFound: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
	})
	compressed, err := build.Compress(plain)
	require.NoError(t, err)
	d.setBinary(build.Result{Binary: compressed, Loader: []byte("// loader")})
	server := httptest.NewUnstartedServer(d)
	if configure != nil {
		configure(server)
	}
	server.Start()
	t.Cleanup(server.Close)
	server.Client().Transport.(*http.Transport).DisableCompression = true
	return d, server
}

type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, client *http.Client, method, url string, header http.Header) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := client.Transport.RoundTrip(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}

func TestPaths(t *testing.T) {
	_, server := ready(t, nil)
	for name, c := range map[string]struct {
		method, path string
		status       int
		contentType  string
		body         string // "": not compared
	}{
		"page":            {path: "/demo/", status: 200, contentType: "text/html; charset=utf-8"},
		"with a query":    {path: "/demo/?x=1", status: 200, contentType: "text/html; charset=utf-8"},
		"binary":          {path: "/demo/app.wasm", status: 200, contentType: "application/wasm", body: string(plain)},
		"loader":          {path: "/demo/wasm_exec.js", status: 200, contentType: "text/javascript; charset=utf-8", body: "// loader"},
		"build":           {path: "/demo/build", status: 200, contentType: "application/json", body: `{"state":"ready","detail":""}` + "\n"},
		"examples":        {path: "/demo/examples/", status: 200, contentType: "text/html; charset=utf-8"},
		"an example":      {path: "/demo/examples/chat.js", status: 200, contentType: "text/javascript; charset=utf-8"},
		"unknown":         {path: "/demo/nowhere", status: 404},
		"unknown example": {path: "/demo/examples/nowhere.html", status: 404},
		"upwards":         {path: "/demo/../demo.go", status: 404},
		"upwards, hidden": {path: "/demo/%2e%2e/static/index.html", status: 404},
		"the directory":   {path: "/demo/static/", status: 404},
		"post":            {method: "POST", path: "/demo/", status: 405},
		"DELETE":          {method: "DELETE", path: "/demo/app.wasm", status: 405},
	} {
		t.Run(name, func(t *testing.T) {
			full := ask(t, server.Client(), c.method, server.URL+c.path, nil)
			require.Equal(t, c.status, full.status)
			require.Equal(t, "nosniff", full.header.Get("X-Content-Type-Options"), "refusals also have the header")
			if c.status != 200 {
				return
			}
			require.Equal(t, c.contentType, full.header.Get("Content-Type"))
			if c.body != "" {
				require.Equal(t, c.body, full.body)
			}
			head := ask(t, server.Client(), "HEAD", server.URL+c.path, nil)
			require.Equal(t, 200, head.status)
			require.Empty(t, head.body)
			require.Equal(t, full.header["Etag"], head.header["Etag"])
			require.Equal(t, full.header["Content-Type"], head.header["Content-Type"])
		})
	}
	require.Equal(t, "demo/", ask(t, server.Client(), "GET", server.URL+"/demo", nil).header.Get("Location"))
	for _, path := range []string{"/demo", "/demo/examples"} {
		moved, err := server.Client().Get(server.URL + path)
		require.NoError(t, err)
		moved.Body.Close()
		require.Equal(t, path+"/", moved.Request.URL.Path)
	}
}

func TestContentEncodings(t *testing.T) {
	_, server := ready(t, nil)
	url := server.URL + "/demo/app.wasm"
	tags := map[string]string{}
	for header, zipped := range map[string]bool{
		"": false, "identity": false, "br": false, "gzip;q=0": false, "gzip;q=0.000, *": false, "*;q=0": false, "gzip;q=x": false, "gzip;q=2": false, "gzippy": false,
		"gzip": true, "GZIP": true, "x-gzip": true, "br, gzip": true, "br,gzip;q=0.5": true, "gzip; Q=1": true, "*": true, "deflate, *;q=0.1": true, "identity, gzip;q=0.001": true,
	} {
		a := ask(t, server.Client(), "GET", url, http.Header{"Accept-Encoding": {header}})
		require.Equal(t, 200, a.status)
		require.Equal(t, "Accept-Encoding", a.header.Get("Vary"))
		require.Equal(t, "no-cache", a.header.Get("Cache-Control"))
		require.Equal(t, strconv.Itoa(len(a.body)), a.header.Get("Content-Length"))
		content := []byte(a.body)
		if zipped {
			require.Equal(t, "gzip", a.header.Get("Content-Encoding"), "%q", header)
			reader, err := gzip.NewReader(bytes.NewReader(content))
			require.NoError(t, err)
			content, err = io.ReadAll(reader)
			require.NoError(t, err)
		} else {
			require.Empty(t, a.header.Get("Content-Encoding"), "%q", header)
		}
		require.True(t, bytes.Equal(plain, content))
		tags[a.header.Get("Content-Encoding")] = a.header.Get("ETag")
	}
	require.NotEqual(t, tags["gzip"], tags[""], "the compressed and the uncompressed content have different strong tags")
	require.Regexp(t, `^"[0-9a-f]{32}"$`, tags[""])

	// Two Accept-Encoding lines count as one list.
	a := ask(t, server.Client(), "GET", url, http.Header{"Accept-Encoding": {"br", "gzip"}})
	require.Equal(t, "gzip", a.header.Get("Content-Encoding"))

	for condition, status := range map[string]int{
		tags[""]: 304, `"other", ` + tags[""]: 304, "W/" + tags[""]: 304, "*": 304, tags["gzip"]: 200, `"other"`: 200, tags[""][1:]: 200, "": 200,
	} {
		a := ask(t, server.Client(), "GET", url, http.Header{"If-None-Match": {condition}})
		require.Equal(t, status, a.status, "%q", condition)
		require.Equal(t, tags[""], a.header.Get("ETag"))
		require.Equal(t, "Accept-Encoding", a.header.Get("Vary"))
		if status == 304 {
			require.Empty(t, a.body)
			require.Empty(t, a.header.Get("Content-Encoding"))
		}
	}
}

// TestNewBuild checks that a browser that has cached the binary of an old build gets the current
// one.
func TestNewBuild(t *testing.T) {
	d, server := ready(t, nil)
	url := server.URL + "/demo/app.wasm"
	old := ask(t, server.Client(), "GET", url, nil)
	compressed, err := build.Compress([]byte("another"))
	require.NoError(t, err)
	d.setBinary(build.Result{Binary: compressed})
	a := ask(t, server.Client(), "GET", url, http.Header{"If-None-Match": {old.header.Get("ETag")}})
	require.Equal(t, 200, a.status)
	require.Equal(t, "another", a.body)
}

func TestContentSecurityPolicy(t *testing.T) {
	d, _ := ready(t, nil)
	policy := func(host string) string {
		r := httptest.NewRequest("GET", "/demo/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		require.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
		require.Equal(t, "same-origin", w.Header().Get("Cross-Origin-Resource-Policy"))
		require.Equal(t, "same-origin", w.Header().Get("Cross-Origin-Opener-Policy"))
		return w.Header().Get("Content-Security-Policy")
	}
	want := func(connect string) string {
		return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'" + connect +
			"; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}
	for _, host := range []string{"127.0.0.1:3000", "localhost", "hub.Example-1.org:443"} {
		require.Equal(t, want(" ws://"+host+" wss://"+host), policy(host))
	}
	for _, host := range []string{"", "[::1]:3000", "a b", "*", "*.example.org", "a;script-src *", "a'", "a,b", "a/b", "a:b", ":80", "a..b", "a\nb", "ü.example", "a_b"} {
		require.Equal(t, want(""), policy(host), "%q", host)
	}
}

func TestPageInEachBuildState(t *testing.T) {
	d, server := ready(t, nil)
	page := ask(t, server.Client(), "GET", server.URL+"/demo/", nil).body
	for _, c := range []struct {
		state  State
		detail string
	}{
		{Building, "being built"}, {Failed, "main.go:3:1: </script> \"quoted\"\nsecond line"}, {Absent, "how to"},
	} {
		d.setState(c.state, c.detail, nil)
		a := ask(t, server.Client(), "GET", server.URL+"/demo/build", nil)
		var got struct{ State, Detail string }
		require.NoError(t, json.Unmarshal([]byte(a.body), &got))
		require.Equal(t, string(c.state), got.State)
		require.Equal(t, c.detail, got.Detail)
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		require.Equal(t, 404, ask(t, server.Client(), "GET", server.URL+"/demo/app.wasm", nil).status)
		shown := ask(t, server.Client(), "GET", server.URL+"/demo/", nil)
		require.Equal(t, 200, shown.status)
		if c.state == Absent {
			require.Contains(t, shown.body, "go build -tags embeddemo ./cmd/trivium")
		} else {
			require.Equal(t, page, shown.body)
		}
	}
}

// Each static file has a content type, and no other files are served.
func TestStaticFilesHaveContentTypes(t *testing.T) {
	d, _ := ready(t, nil)
	count := 0
	require.NoError(t, fs.WalkDir(static, ".", func(_ string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			count++
		}
		return err
	}))
	require.Len(t, d.pages, count)
	require.NotNil(t, d.pages[""])
	for path, a := range d.pages {
		require.NotEmpty(t, a.contentType, path)
	}
}

// A client that stops reading blocks its handler for at most WriteTimeout. Over HTTP/2, its
// connection stays open.
func TestStalledReader(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		done := make(chan struct{})
		d, server := ready(t, func(s *httptest.Server) {
			inner := s.Config.Handler
			s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				inner.ServeHTTP(w, r)
			})
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetHTTP1(!h2)
			s.Config.Protocols.SetUnencryptedHTTP2(h2)
			s.Config.ConnState = func(c net.Conn, state http.ConnState) {
				if state == http.StateNew {
					_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
				}
			}
		})
		d.cfg.WriteTimeout = 100 * time.Millisecond
		noise := make([]byte, 8<<20)
		for i := range noise {
			noise[i] = byte(i)
		}
		d.setState(Ready, "", map[string]*asset{binaryPath: {contentType: "application/wasm", compressed: noise}})
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!h2)
		protocols.SetUnencryptedHTTP2(h2)
		transport := &http.Transport{Protocols: protocols, ReadBufferSize: 4 << 10}
		r, err := http.NewRequest("GET", server.URL+"/demo/app.wasm", nil)
		require.NoError(t, err)
		r.Header.Set("Accept-Encoding", "gzip")
		response, err := transport.RoundTrip(r)
		require.NoError(t, err)
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("the handler did not return after WriteTimeout")
		}
		response.Body.Close()
		transport.CloseIdleConnections()
	}
}
