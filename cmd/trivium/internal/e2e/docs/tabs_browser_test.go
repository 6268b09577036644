//go:build unix

package docs

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// pollingPage is a script that polls a hub of another origin, as docs/clients.md shows. The URL of the hub and a token
// replace the two %s.
const pollingPage = `
const tab = Math.random().toString(36).slice(2);
let cursor = "";
(async () => {
  for (;;) {
    const answer = await fetch("%s/poll?topic=tabs&wait=20&tab=" + tab, {
      headers: { Authorization: "Bearer %s", "Last-Event-ID": cursor },
    });
    const page = await answer.json();
    cursor = page.cursor;
    for (const event of page.events) console.log(event.data);
  }
})().catch(console.log);
0`

// Two tabs of a browser can wait for events by long-poll at the same time. A tab whose origin is not
// the hub's sends one preflight request in all, not one per poll.
func TestPollingTabs(t *testing.T) {
	skipUnlessChosen(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>polls</title>")
	}))
	t.Cleanup(page.Close)
	hub := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--origin", page.URL)...))
	target, err := url.Parse("http://" + hub.HTTP)
	require.NoError(t, err)
	var leaves, polls atomic.Int64
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			leaves.Add(1)
		} else {
			polls.Add(1)
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		between.CloseClientConnections() // a poll may be waiting, which would block Close
		between.Close()
	})
	browser := startBrowser(t)
	var came [2]atomic.Int64
	for i := range came {
		tab := openTab(t, browser, page.URL, func(text string) { came[i].Add(int64(strings.Count(text, "event"))) })
		_, err := chromedp.Run(tab, chromedp.Evaluate[int](fmt.Sprintf(pollingPage, between.URL, hub.Token)))
		require.NoError(t, err)
	}
	const events = 6
	for n := 1; n <= events; n++ {
		require.Eventually(t, func() bool { return hub.Stats().Transports["longpoll"].Connections == int64(len(came)) },
			hubtest.Patience, time.Millisecond, "both tabs wait for the next event after %d events", n-1)
		hub.Publish("application/json", `{"topic":"tabs","data":"event"}`)
		for i := range came {
			require.Eventually(t, func() bool { return came[i].Load() == int64(n) }, hubtest.Patience, time.Millisecond)
		}
	}
	t.Logf("%d polls, %d preflights", polls.Load(), leaves.Load())
	require.GreaterOrEqual(t, polls.Load(), int64(len(came)*events))
	require.LessOrEqual(t, leaves.Load(), int64(len(came)), "at most one preflight request per tab")
}
