package js

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/internal/transporttest"
)

func TestMain(m *testing.M) {
	transporttest.SetParallelism()
	testkit.Main(m)
}

func TestHandler(t *testing.T) {
	server := httptest.NewServer(Handler())
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	ask := func(method, path string, fields ...string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		require.NoError(t, err)
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		response, err := client.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response, string(body)
	}
	for _, c := range []struct{ path, contentType, cache, part string }{
		{"/trivium.js", "text/javascript; charset=utf-8", "no-cache", "as connect"},
		{"/below/trivium.js", "text/javascript; charset=utf-8", "no-cache", "as connect"},
		{Path(), "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "as connect"},
		{"/trivium-publish.js", "text/javascript; charset=utf-8", "no-cache", "as default"},
		{"/below/trivium-publish.js?v=" + partsVersion + "&1", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "as default"},
		{"/trivium-publish.js?v=0123456789abcdef", "text/javascript; charset=utf-8", "no-store", "reload the page"},
		{"/trivium-eventsource.js", "text/javascript; charset=utf-8", "no-cache", "as EventSource"},
		{"/trivium-text-stream.js", "text/javascript; charset=utf-8", "no-cache", `from"./trivium.js"`},
		{"/trivium-text-stream.d.ts", "text/plain; charset=utf-8", "no-cache", `from "./trivium.js"`},
		{"/trivium.d.ts", "text/plain; charset=utf-8", "no-cache", "export declare function connect"},
	} {
		response, body := ask("GET", c.path)
		require.Equal(t, http.StatusOK, response.StatusCode, c.path)
		require.Equal(t, c.contentType, response.Header.Get("Content-Type"), c.path)
		require.Equal(t, c.cache, response.Header.Get("Cache-Control"), c.path)
		require.Contains(t, body, c.part, c.path)

		compressed, less := ask("GET", c.path, "Accept-Encoding", "gzip")
		require.Equal(t, "gzip", compressed.Header.Get("Content-Encoding"), c.path)
		require.Less(t, len(less), len(body), c.path)
		for _, encoding := range []string{"gzip", "identity"} {
			again, _ := ask("GET", c.path, "Accept-Encoding", encoding, "If-None-Match", compressed.Header.Get("ETag"))
			require.Equal(t, http.StatusNotModified, again.StatusCode, c.path)
		}
		head, body := ask("HEAD", c.path)
		require.Equal(t, []any{http.StatusOK, ""}, []any{head.StatusCode, body}, c.path)
		refused, _ := ask("POST", c.path)
		require.Equal(t, http.StatusMethodNotAllowed, refused.StatusCode, c.path)
	}
	script, _ := ask("GET", "/below/trivium.js")
	require.Equal(t, Path(), "/"+script.Header.Get("Content-Location"))
	for _, path := range Paths() {
		response, _ := ask("GET", path)
		require.Equal(t, http.StatusOK, response.StatusCode, path)
	}
	missing, _ := ask("GET", "/trivium-0.js")
	require.Equal(t, http.StatusNotFound, missing.StatusCode)
}

// findNode skips the test if there is no Node.js that has a WebSocket.
func findNode(t *testing.T) {
	t.Helper()
	if err := exec.Command("node", withSocket, "-e", "WebSocket").Run(); err != nil {
		const missing = "Node.js with a WebSocket (20.10 or newer) is not installed"
		if os.Getenv("TRIVIUM_REQUIRE_BROWSER") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
}

const withSocket = "--experimental-websocket"

// TestNode runs the tests in the directory test with Node.js.
func TestNode(t *testing.T) {
	t.Parallel()
	findNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", withSocket, "--test", "test/").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestSize limits the size of the scripts after compression with gzip.
func TestSize(t *testing.T) {
	size := func(name string) int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/"+name, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		Handler().ServeHTTP(w, r)
		require.Equal(t, "gzip", w.Header().Get("Content-Encoding"))
		return w.Body.Len()
	}
	require.LessOrEqual(t, size(scriptName), 4608, "the core has at most 4608 bytes")
	require.LessOrEqual(t, size(scriptName)+size("trivium-tabs.js"), 6144, "the core with tab sharing has at most 6144 bytes")
	for name, f := range files {
		t.Logf("%s: %d bytes after gzip", name, size(name))
		require.NotContains(t, string(f.content), "sourceMappingURL", name)
	}
}
