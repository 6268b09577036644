//go:build !js

package clienttest

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBrowser(t *testing.T) {
	t.Parallel()
	path := browser(t)
	h := startHarness(t)
	h.suite.Store(&suitePage{binary: wasm(t), loader: wasmLibrary(t, "wasm_exec.js"), Args: h.suiteArgs(), Env: h.suiteEnv()})
	out, code := visit(t, path, h.server.URL+"/page/suite.html")
	report(t, out, code == "0")
}

// TestPlain: what a browser has gets every event too, with no library.
func TestPlain(t *testing.T) {
	t.Parallel()
	path := browser(t)
	value, err := token(time.Hour, ">")
	require.NoError(t, err)
	out, code := visit(t, path, startHarness(t).server.URL+"/page/plain.html#"+value)
	require.Equal(t, "0", code, out)
	for _, road := range []string{"EventSource", "WebSocket", "poll"} {
		require.Contains(t, out, road+": 1,2,3,4,5,6,7,8,9\n")
	}
}

// browser gives the path of a Chromium, or ends the test.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "there is no Chromium")
	return ""
}

// exitLine begins the line by which a page says that it is done, and how.
const exitLine = "exit: "

// visit opens a page in a browser of its own and gives what it writes to its console, and how it
// says that it ended.
func visit(t *testing.T, path, address string) (out, code string) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("headless", "new"), chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, options...)
	defer closeBrowser()
	ctx, _ = chromedp.NewContext(ctx)
	defer func() { assert.NoError(t, chromedp.Cancel(ctx), "closing the browser") }()

	messages := chromedp.Console(ctx)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
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
