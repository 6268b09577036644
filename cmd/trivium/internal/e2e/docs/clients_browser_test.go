//go:build unix

package docs

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// startBrowser starts Chromium with a flag that makes it accept self-signed certificates. It stops Chromium at the end of
// the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(hubtest.NeedTool(t, "chromium", "Debian's chromium")),
		chromedp.NoSandbox, chromedp.Flag("headless", "new"), chromedp.Flag("ignore-certificate-errors", true), chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(hubtest.Patience))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		within, cancel := context.WithTimeout(ctx, hubtest.Patience)
		defer cancel()
		_ = chromedp.Cancel(within) // if the browser does not exit, canceling the allocator kills its process
	})
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")))
	return ctx
}

// openPage opens a page in a separate browser context, because a browser opens at most six
// connections per context to one host. It calls take with each message that the page logs to its console.
func openPage(t *testing.T, browser context.Context, address string, take func(string)) context.Context {
	t.Helper()
	return openTab(t, browser, address, take, chromedp.WithNewBrowserContext())
}

// openTab opens a page. Without options, the page shares storage and connections with the other tabs of the browser.
func openTab(t *testing.T, browser context.Context, address string, take func(string), options ...chromedp.ContextOption) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(browser, 10*time.Minute)
	ctx, _ = chromedp.NewContext(ctx, options...)
	messages := chromedp.Console(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for message, err := range messages {
			if err != nil {
				return
			}
			take(message.Text)
		}
	}()
	t.Cleanup(func() {
		within, stop := context.WithTimeout(ctx, hubtest.Patience)
		_ = chromedp.Cancel(within) // the error is ignored, because the browser is stopped anyway
		stop()
		cancel()
		<-done
	})
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
	return ctx
}

// startPages opens a page of the hub for each script, and runs the script in it. The script then has the
// hub's origin.
func startPages(t *testing.T, base string, pages map[string]string, add func(string) *libraryClient) {
	t.Helper()
	files := httptest.NewServer(staticFiles())
	t.Cleanup(files.Close)
	browser := startBrowser(t)
	for name, file := range pages {
		c := add(name)
		page := openPage(t, browser, base+"/healthz", func(text string) {
			for line := range strings.Lines(text) {
				c.take(line)
			}
		})
		script := `import("` + files.URL + "/" + file + `").catch(console.log); 0`
		_, err := chromedp.Run(page, chromedp.Evaluate[int](script))
		require.NoError(t, err)
	}
}
