package js

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
)

// patience is the timeout of every wait in a test. It is much longer than any wait of a test that passes.
const patience = 4 * time.Minute

// unusedFeatures are the Chromium features that the tests disable. chromedp disables the first two by
// default. Each of the other two would load an internal page of the browser in every window.
const unusedFeatures = "Translate,BlinkGenPropertyTrees,WebUIOmniboxPopup,WebUIOmniboxAimPopup"

// openTab opens a page in Chromium, or skips the test. The browser is closed at the end of the
// test.
func openTab(t *testing.T, address string) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)), chromedp.NoSandbox, chromedp.Flag("headless", "new"), chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-features", unusedFeatures))...)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*patience)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		within, cancel := context.WithTimeout(ctx, patience/4)
		defer cancel()
		// If the browser hangs, or is slow on a busy machine, its allocator kills it.
		if err := chromedp.Cancel(within); !errors.Is(err, context.DeadlineExceeded) {
			assert.NoError(t, err, "closing the browser")
		}
	})
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
	return ctx
}

func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("TRIVIUM_REQUIRE_BROWSER") == "1" {
		t.Fatal("Chromium, which TRIVIUM_REQUIRE_BROWSER requires, is not installed")
	}
	t.Skip("Chromium is not installed")
	return ""
}

// evaluate returns the value of an expression in a page. If the value is a promise, evaluate waits
// for its result.
func evaluate[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(t, err, expression)
	return value
}

// await waits until an expression is true in a page. It ignores errors until the timeout, because
// an expression cannot be evaluated while the tab loads another page.
func await(t *testing.T, tab context.Context, expression string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		isTrue, err := chromedp.Run(tab, chromedp.Evaluate[bool](expression, chromedp.EvalAwaitPromise))
		if err == nil && isTrue {
			return
		}
		if tab.Err() != nil || time.Now().After(end) {
			require.NoError(t, err, expression)
			require.FailNow(t, "timeout while waiting for: "+expression, evaluate[string](t, tab, "document.body.innerText"))
		}
	}
}

// testToken is the token of a testHub.
const testToken = "secret"

// testHub is a hub whose connections a test can close.
type testHub struct {
	*hub.Hub
	*httptest.Server
	api    *transports.API
	conns  *connTracker
	routes *http.ServeMux
}

// connTracker is a listener that can close all its connections.
type connTracker struct {
	net.Listener
	mu   sync.Mutex
	open []*net.TCPConn
}

func (l *connTracker) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.open = append(l.open, c.(*net.TCPConn))
		l.mu.Unlock()
	}
	return c, err
}

// cut shuts down both directions of all connections, so that no later event is written to them. It does
// not close them, because the hub still uses their file descriptors. After a Close in the test, a new
// connection could get the same descriptor.
func (l *connTracker) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		_ = errors.Join(c.CloseWrite(), c.CloseRead()) // fails if the connection is already closed
	}
	l.open = nil
}

// startHub starts a server with a hub below /hub/ and the files of this directory.
func startHub(t *testing.T) *testHub {
	t.Helper()
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	api, err := transports.New(transports.Config{Hub: h, Authorize: func(r *http.Request) (*transports.Rights, error) {
		inProtocol := strings.Contains(r.Header.Get("Sec-Websocket-Protocol"), "trivium.bearer."+testToken)
		if !inProtocol && r.Header.Get("Authorization") != "Bearer "+testToken {
			return nil, auth.ErrNoToken
		}
		return &transports.Rights{Subject: "test", Subscribe: []string{"t", "prices.*", "orders.>"}, Publish: []string{"t"}}, nil
	}})
	require.NoError(t, err)
	routes := http.NewServeMux()
	routes.Handle("/hub/", http.StripPrefix("/hub", api))
	routes.Handle("/", http.FileServer(http.Dir(".")))
	server := httptest.NewUnstartedServer(routes)
	conns := &connTracker{Listener: server.Listener}
	server.Listener = conns
	server.Start()
	t.Cleanup(func() {
		conns.cut()
		server.Close()
		api.Close()
		h.Close()
	})
	return &testHub{h, server, api, conns, routes}
}

func (h *testHub) publish(t *testing.T, topic, data string) {
	t.Helper()
	_, err := h.Publish(t.Context(), &hub.Event{Topic: topic, Data: []byte(data)})
	require.NoError(t, err)
}
