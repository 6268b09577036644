package js

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// findModules skips the test if the npm packages in a directory are not installed.
func findModules(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		missing := "the npm packages are not installed: run npm ci in " + filepath.Join("transports/client/js", dir)
		if os.Getenv("TRIVIUM_REQUIRE_TOOLS") == "1" {
			t.Fatal(missing + ", and TRIVIUM_REQUIRE_TOOLS is set")
		}
		t.Skip(missing)
	}
}

// bundle bundles a program with esbuild, and returns the path of the result.
func bundle(t *testing.T, program, platform string) string {
	t.Helper()
	format, path := "esm", filepath.Join(t.TempDir(), "bundle.mjs")
	if platform == "node" {
		format, path = "cjs", filepath.Join(t.TempDir(), "bundle.cjs")
	}
	out, err := exec.CommandContext(t.Context(), "node_modules/.bin/esbuild", program, "--bundle", "--jsx=automatic", "--log-level=warning",
		`--define:process.env.NODE_ENV="development"`, "--format="+format, "--platform="+platform, "--outfile="+path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// TestReact renders components on a server, hydrates them in StrictMode in Chromium, and checks
// that they show a hub's events.
func TestReact(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	findModules(t, ".")
	h := startHub(t)
	html, err := exec.CommandContext(t.Context(), "node", bundle(t, "testdata/react-server.jsx", "node")).Output()
	require.NoError(t, err)
	require.Contains(t, string(html), `<p id="prices"></p><p id="total"></p>`)
	script := bundle(t, "testdata/react-page.jsx", "browser")
	h.routes.HandleFunc("/bundle.mjs", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, script) })
	h.routes.HandleFunc("/react.html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><div id="root">%s</div><script type="module" src="/bundle.mjs"></script>`, strings.TrimSpace(string(html)))
	})
	for n := 1; n <= 5; n++ {
		h.publish(t, "prices.a", fmt.Sprint(n))
	}
	h.publish(t, "orders.eu", "10")
	h.publish(t, "orders.eu", "20")

	p := &reactPage{t, h, openTab(t, h.URL+"/react.html")}
	p.shows("prices", "3 4 5")
	p.shows("total", "30")
	p.shows("phase", "live")
	h.publish(t, "prices.b", "6")
	h.publish(t, "orders.us", "5")
	p.shows("prices", "4 5 6")
	p.shows("total", "35")
	p.connections(1)

	h.conns.cut()
	h.publish(t, "prices.b", "7")
	p.shows("prices", "5 6 7")
	p.mountsMore()
	require.Empty(t, evaluate[[]string](t, p.tab, "errors"), "React reports no error")

	p.click("show-forbidden")
	await(t, p.tab, "document.getElementById('refused')?.innerText.includes('secret') === true")
	h.publish(t, "prices.a", "9")
	p.shows("prices", "7 8 9")
	p.shows("newest", "9")
	p.shows("total", "35")
	evaluate[any](t, p.tab, "unmount()")
	p.connections(0)
}

// reactPage is the page of testdata/react-page.jsx.
type reactPage struct {
	t   *testing.T
	hub *testHub
	tab context.Context
}

func (p *reactPage) shows(id, text string) {
	p.t.Helper()
	await(p.t, p.tab, fmt.Sprintf("document.getElementById(%q)?.textContent === %q", id, text))
}

func (p *reactPage) click(id string) {
	p.t.Helper()
	evaluate[any](p.t, p.tab, fmt.Sprintf("document.getElementById(%q).click()", id))
}

// connections waits until the hub has the wanted number of connections.
func (p *reactPage) connections(want int64) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.hub.api.Stats().Transports["websocket"].Connections == want }, patience, 10*time.Millisecond)
}

// mountsMore mounts components while events are published: one with a new topic, and one with a
// topic that is already subscribed to. They must show the history and the events that follow, each
// once.
func (p *reactPage) mountsMore() {
	var want []string
	for n := range 200 {
		if n == 50 {
			p.click("show-more")
		}
		p.hub.publish(p.t, "t", fmt.Sprint(n))
		want = append(want, fmt.Sprint(n))
		time.Sleep(time.Millisecond) // time for the component to be mounted
	}
	p.shows("more", strings.Join(want, " "))
	p.shows("newest", "7")
	p.hub.publish(p.t, "prices.c", "8")
	p.shows("newest", "8")
	p.shows("prices", "6 7 8")
	p.connections(1)
}

// TestOutage runs a short version of the outage test, which fails if trivium.js loses, repeats or
// reorders an event.
func TestOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("the outages take a long time")
	}
	t.Parallel()
	findModules(t, "outage")
	findNode(t)
	program := filepath.Join(t.TempDir(), "trivium.exe")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../cmd/trivium").CombinedOutput()
	require.NoError(t, err, "%s", out)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err = exec.CommandContext(ctx, "node", withSocket, "outage/outage.mjs", "--trivium", program, "--seconds", "6", "--every", "3", "--outage", "1", "--clients", "3", "--settle", "1").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `(?m)^\| trivium\.js \| (\d+) \| 0 \| 100 % \| 0 \| 0 \|`, string(out))
}
