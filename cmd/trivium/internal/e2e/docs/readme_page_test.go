//go:build unix

package docs

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// TestReadmePage opens the HTML page that the README shows in Chromium. If the page is served by
// another origin, it shows events. If it is opened as a file, it cannot connect; the page and the log
// of the hub then explain how to serve it.
func TestReadmePage(t *testing.T) {
	skipUnlessChosen(t)
	block := regexp.MustCompile("(?s)```html\n(.*?)```\n").FindStringSubmatch(page(t, "README.md"))
	require.NotNil(t, block)
	var html string
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, html)
	}))
	t.Cleanup(files.Close)
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--origin", files.URL)...))
	html = strings.NewReplacer("127.0.0.1:3000", p.HTTP, "the-token-that-serve-printed", p.Token).Replace(block[1])
	p.Publish("application/json", `{"topic":"orders.eu","data":{"total":1.50}}`)

	browser := startBrowser(t)
	shows := func(address, text string) {
		t.Helper()
		tab := openPage(t, browser, address, func(string) {})
		require.Eventually(t, func() bool {
			content, err := chromedp.Run(tab, chromedp.Evaluate[string]("document.body.innerText"))
			return err == nil && strings.Contains(content, text)
		}, hubtest.Patience, 50*time.Millisecond, "%s shows %s", address, text)
	}
	shows(files.URL, `{"total":1.50}`)

	path := filepath.Join(t.TempDir(), "index.html")
	require.NoError(t, os.WriteFile(path, []byte(html), 0o600))
	shows("file://"+path, "open this page over http, not as a file")
	p.HasLogged("serve a page from a file over http, for example with python3 -m http.server 8000")
}
