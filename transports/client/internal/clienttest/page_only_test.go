package clienttest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// testOwnOrigin checks that a page served by the hub needs no URL.
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

// testWoken checks that the client reconnects at once when the network is back.
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
