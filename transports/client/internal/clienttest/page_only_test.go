package clienttest

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// testOwnOrigin checks that a client in a page that the hub serves needs no URL.
func testOwnOrigin(t *testing.T, e *env) {
	if !isPage {
		return
	}
	h := e.newHub(t)
	h.do(t, "front")
	for _, tr := range transports(e) {
		f := h.follow(t, tr, func(cfg *client.Config) { cfg.URL = "" })
		f.publish(t, 3)
	}
}

// urlRecorder records the URLs of EventSources.
type urlRecorder struct {
	client.Platform
	mu   sync.Mutex
	urls []string
}

// EventSource implements client.EventSourcer.
func (r *urlRecorder) EventSource(ctx context.Context, url string) (client.EventStream, error) {
	r.mu.Lock()
	r.urls = append(r.urls, url)
	r.mu.Unlock()
	return r.Platform.(client.EventSourcer).EventSource(ctx, url)
}

// testTickets checks that the URL of an EventSource contains a new ticket for each connection, and
// never the token.
func testTickets(t *testing.T, e *env) {
	if !isPage || os.Getenv(envTriviumJS) != "" { // trivium.js has no option for a Platform
		return
	}
	h := e.newHub(t)
	recorder := &urlRecorder{Platform: e.platform}
	f := h.follow(t, client.EventSource, func(cfg *client.Config) { cfg.Platform = recorder })
	f.publish(t, 3)
	h.do(t, "cut")
	f.publish(t, 3)
	f.noGap(t)
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	require.GreaterOrEqual(t, len(recorder.urls), 2)
	for _, url := range recorder.urls {
		require.Contains(t, url, "ticket=")
		require.NotContains(t, url, "access_token")
	}
}

// testWoken checks that a waiting client reconnects immediately when the network is available
// again.
func testWoken(t *testing.T, e *env) {
	if !isPage {
		return
	}
	h := e.newHub(t)
	var followers []*follower
	for _, tr := range transports(e) {
		followers = append(followers, h.follow(t, tr, func(cfg *client.Config) { cfg.Silence = time.Hour }))
	}
	goOnline()
	for _, f := range followers {
		require.Eventually(t, func() bool { return f.client.Stats().Reconnects > 0 }, patience, time.Millisecond)
		f.publish(t, 3)
		f.noGap(t)
	}
}
