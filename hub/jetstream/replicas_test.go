package jetstream

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// A follower that lost some of its files reports deleted ranges where the other servers have events. Subscribers
// receive all events, from the in-memory log and from the stream, and the log names the server.
func testDamagedReplica(t *testing.T, c *cluster) {
	keep := hub.Retention{Bytes: 64 << 20}
	cfg := c.config(keep)
	var log journal
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	h, e := startHub(t, cfg, keep)
	const events = 3000
	var last hub.Cursor
	for range events / 1000 {
		batch := many("a", 1000)
		for _, event := range batch {
			event.Encoding, event.Data = hub.Binary, fmt.Appendf(nil, "%8000d", 1)
		}
		var err error
		last, err = h.PublishEach(t.Context(), batch...)
		require.NoError(t, err)
	}
	damaged := c.followerOf(e)
	c.stop(damaged)
	blocks, err := filepath.Glob(filepath.Join(c.options[damaged].StoreDir, "jetstream", "*", "streams", cfg.Stream, "msgs", "*"))
	require.NoError(t, err)
	removed := 0
	for _, path := range blocks {
		if name := filepath.Base(path); name == "2.blk" || name == "index.db" {
			require.NoError(t, os.Remove(path))
			removed++
		}
	}
	require.Equal(t, 2, removed, "%v", blocks)
	c.start(damaged)
	c.waitReady()

	short := hub.Retention{Events: 10}
	cfg.Window = 10
	for range 6 { // replicas take turns in answering
		behind, _ := startHub(t, cfg, short)
		r := enginetest.Subscribe(t, behind, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &hub.Cursor{Epoch: last.Epoch}}})
		r.Until(last.Seq)
		require.Empty(t, r.Gaps)
		require.Len(t, r.Events, events)
		require.NoError(t, behind.Close())
	}
	cfg.Window = events
	for range 6 {
		restarted, _ := startHub(t, cfg, keep)
		r := enginetest.Subscribe(t, restarted, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &hub.Cursor{Epoch: last.Epoch}}})
		r.Until(last.Seq)
		require.Empty(t, r.Gaps)
		require.Len(t, r.Events, events)
		require.NoError(t, restarted.Close())
	}
	require.Eventually(t, func() bool { // a server that has just started may not have caught up yet
		e.compareOnce(t.Context(), 1500)
		return e.Stats().Differ[c.options[damaged].ServerName] > 0
	}, enginetest.Patience, 100*time.Millisecond)
	require.Positive(t, log.count("server="+c.options[damaged].ServerName))
}

// followerOf waits until all servers have all messages of the engine's stream, and returns one that is not its
// leader.
func (c *cluster) followerOf(e *Engine) (server int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		info, err := e.info(c.t.Context())
		if err != nil || info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != len(c.servers)-1 {
			return false
		}
		for _, r := range info.Cluster.Replicas {
			if !r.Current || r.Offline || r.Lag > 0 {
				return false
			}
		}
		for i, o := range c.options {
			if o.ServerName != info.Cluster.Leader {
				server = i
			}
		}
		return true
	}, enginetest.Patience, 100*time.Millisecond)
	return server
}
