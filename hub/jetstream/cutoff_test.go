package jetstream

import (
	"context"
	"fmt"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// testCutOff: a hub that was cut off while retention went past it tells all its subscribers, since
// nobody knows what it was, and goes on with what there is.
func testCutOff(t *testing.T, c *cluster) {
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		"cut", "127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", c.options[0].Port))
	require.NoError(t, proxy.Start())
	defer proxy.Stop()
	keep := hub.Retention{Events: 10}
	cfg := c.config(keep)
	other, _ := startHub(t, cfg, keep)
	cfg.URL = "nats://" + proxy.Listen
	h, e := startHub(t, cfg, keep)
	busy := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, "a")})
	idle := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, "idle")})
	first, err := h.Publish(t.Context(), one("a"))
	require.NoError(t, err)
	busy.Until(first.Seq)
	idle.Until(first.Seq)
	proxy.Stop()
	require.Eventually(t, func() bool { return e.Ready() != nil }, enginetest.Patience, 10*time.Millisecond)
	last := first
	for range 30 {
		last, err = other.Publish(context.Background(), one("a"))
		require.NoError(t, err)
	}
	require.NoError(t, proxy.Start())
	require.Eventually(t, func() bool { return e.Ready() == nil }, enginetest.Patience, 10*time.Millisecond)
	for _, r := range []*enginetest.Reader{busy, idle} {
		r.Until(last.Seq)
		require.Equal(t, []hub.Gap{{
			Reason: hub.GapExpired, After: first.String(), ResumedAt: hub.Cursor{Epoch: first.Epoch, Seq: last.Seq - 10},
		}}, r.Gaps)
	}
	require.Len(t, busy.Events, 11)
	require.Empty(t, idle.Events)
}
