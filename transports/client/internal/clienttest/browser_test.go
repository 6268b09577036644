//go:build !js

package clienttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBrowser(t *testing.T) { testBrowser(t, nil) }

// TestBrowserTrivium runs the client suite with trivium.js in a browser.
func TestBrowserTrivium(t *testing.T) {
	testBrowser(t, map[string]string{envTriviumJS: "/page/trivium.js"})
}

// testBrowser runs the suite in a page with additional environment variables.
func testBrowser(t *testing.T, additional map[string]string) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	path := browser(t)
	h := startHarness(t)
	env := h.suiteEnv()
	maps.Copy(env, additional)
	h.suite.Store(&suitePage{binary: wasm(t), loader: wasmLibrary(t, "wasm_exec.js"), Args: h.suiteArgs(), Env: env})
	out, code := visit(t, browserAt(t, path), h.server.URL+"/page/suite.html")
	report(t, out, code == "0")
}

// TestPlainJavaScript checks that plain JavaScript without a library receives every event.
func TestPlainJavaScript(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	path := browser(t)
	value, err := token(time.Hour, ">")
	require.NoError(t, err)
	out, code := visit(t, browserAt(t, path), startHarness(t).server.URL+"/page/plain.html#"+value)
	require.Equal(t, "0", code, out)
	for _, tr := range []string{"EventSource", "WebSocket", "poll"} {
		require.Contains(t, out, tr+": 1,2,3,4,5,6,7,8,9\n")
	}
}

// browser returns the path of Chromium, or skips the test.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "Chromium is not installed")
	return ""
}

// exitLine is the prefix of the line in which a page reports its result.
const exitLine = "exit: "

// shared is the browser that all running tests share, because starting a browser is expensive.
var shared struct {
	mu      sync.Mutex
	holders int
	ctx     context.Context
	close   func() error
}

// unusedFeatures are the Chromium features that the tests disable. chromedp disables the first two by
// default. Each of the other two would load an internal page of the browser in every window.
const unusedFeatures = "Translate,BlinkGenPropertyTrees,WebUIOmniboxPopup,WebUIOmniboxAimPopup"

// browserAt returns a context in which tabs can be opened. The browser is closed after the last
// test that uses it.
func browserAt(t *testing.T, path string) context.Context {
	t.Helper()
	b := &shared
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holders == 0 {
		dir, err := os.MkdirTemp(built, "browser-")
		require.NoError(t, err)
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("headless", "new"), chromedp.UserDataDir(dir),
			chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-features", unusedFeatures))
		ctx, stop := context.WithTimeout(context.Background(), long)
		ctx, end := chromedp.NewExecAllocator(ctx, options...)
		ctx, _ = chromedp.NewContext(ctx)
		b.ctx, b.close = ctx, func() error {
			defer stop()
			defer end()
			return chromedp.Cancel(ctx)
		}
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
			require.NoError(t, errors.Join(err, b.close()), "starting the browser")
		}
	}
	b.holders++
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.holders--; b.holders == 0 {
			assert.NoError(t, b.close(), "closing the browser")
		}
	})
	return b.ctx
}

// navigate opens a page in a tab. It then disables the browser's network events, because no test reads
// them.
func navigate(tab context.Context, address string) error {
	if err := chromedp.Do(tab, chromedp.Navigate(address)); err != nil {
		return err
	}
	_, err := chromedp.Call(tab, network.Disable, cdp.Empty{})
	return err
}

// visit opens a page in its own window. It returns the console output and the exit code of the
// page.
func visit(t *testing.T, browser context.Context, address string) (out, code string) {
	t.Helper()
	ctx, _ := chromedp.NewContext(browser)
	defer func() {
		// If the browser is busy with other pages, Cancel may time out before the page is closed. The
		// page is then closed together with the browser.
		if err := chromedp.Cancel(ctx); !errors.Is(err, context.DeadlineExceeded) {
			assert.NoError(t, err, "closing the page")
		}
	}()

	messages := chromedp.Console(ctx)
	require.NoError(t, navigate(ctx, address))
	var text strings.Builder
	for message, err := range messages {
		if err != nil {
			return text.String(), err.Error()
		}
		if code, found := strings.CutPrefix(message.Text, exitLine); found {
			return text.String(), code
		}
		fmt.Fprintln(&text, message.Text)
		if message.IsException() {
			return text.String(), "exception"
		}
	}
	return text.String(), "the console has ended"
}
