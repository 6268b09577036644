package clienttest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// testOwnOrigin: in a page that the hub serves, nothing needs to be said of where it is.
func testOwnOrigin(t *testing.T, e *env) {
	if !isPage {
		return
	}
	h := e.newHub(t)
	h.do(t, "front")
	for _, road := range roads(e) {
		f := h.follow(t, road, func(cfg *client.Config) { cfg.URL = "" })
		f.publish(t, 3)
	}
}

// testWoken: when the network is back, nobody waits for the silence of a connection to be noticed.
func testWoken(t *testing.T, e *env) {
	if !isPage {
		return
	}
	h := e.newHub(t)
	var followers []*follower
	for _, road := range roads(e) {
		followers = append(followers, h.follow(t, road, func(cfg *client.Config) { cfg.Silence = time.Hour }))
	}
	goOnline()
	for _, f := range followers {
		require.Eventually(t, func() bool { return f.client.Stats().Reconnects > 0 }, patience, time.Millisecond)
		f.publish(t, 3)
		f.noGap(t)
	}
}
