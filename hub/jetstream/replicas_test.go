package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

func testDamaged(t *testing.T, c *cluster) {
	t.Run("replica", func(t *testing.T) { testDamagedReplica(t, c) })
	t.Run("leader", func(t *testing.T) { testDamagedLeader(t, c) })
}

// publishLarge publishes n events of 8000 bytes, in batches of 1000, and returns the cursor of the last one. It repeats a
// batch while JetStream does not answer in time.
func publishLarge(t *testing.T, h *hub.Hub, n int) (last hub.Cursor) {
	t.Helper()
	for i := range n / 1000 {
		var ids []string
		for j := range 1000 {
			ids = append(ids, fmt.Sprint("large-", i, "-", j))
		}
		retried(t, func() (int, error) {
			batch := many("a", 1000)
			for _, event := range batch {
				event.Encoding, event.Data = hub.Binary, fmt.Appendf(nil, "%8000d", 1)
			}
			return h.PublishUnique(t.Context(), ids, batch...)
		})
	}
	require.Eventually(t, func() bool { return h.Position().Seq >= uint64(n) }, enginetest.Patience, time.Millisecond)
	return h.Position()
}

// testDamagedReplica checks a follower that lost some of its files and reports deleted ranges where the
// other servers have events. Subscribers must receive all events, from the in-memory log and from the
// stream, and the hub must log the name of the server.
func testDamagedReplica(t *testing.T, c *cluster) {
	const events = 3000
	keep := hub.Retention{Bytes: 64 << 20}
	cfg := c.config(keep)
	var log logRecorder
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	h, e := startHub(t, cfg, keep)
	last := publishLarge(t, h, events)
	damaged := c.damageFollower(e)

	short := hub.Retention{Events: 10}
	cfg.Window = 10
	for range 6 { // several reads, because any replica may answer
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
	testSeekDamaged(t, c, cfg, damaged)
	require.Eventually(t, func() bool { // repeated, because a server that has just started may not have caught up yet
		e.compareOnce(t.Context(), 1500)
		return e.Stats().Differ[c.options[damaged].ServerName] > 0
	}, enginetest.Patience, 100*time.Millisecond)
	require.Positive(t, log.count("server="+c.options[damaged].ServerName))
}

// testSeekDamaged checks that Newest finds the right events although a damaged server answers some
// of the direct gets.
func testSeekDamaged(t *testing.T, c *cluster, cfg Config, damaged int) {
	cfg.URL, cfg.Window = fmt.Sprintf("nats://127.0.0.1:%d", c.options[damaged].Port), 10
	h, e := startHub(t, cfg, hub.Retention{Events: 10})
	defer func() { require.NoError(t, h.Close()) }()
	stream, err := e.js.Stream(t.Context(), cfg.Stream)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := ask(t, func(ctx context.Context) (*nats.Msg, error) { return e.getDirect(ctx, getRequest{Seq: 1500}) })
		return errors.Is(err, jetstream.ErrMsgNotFound)
	}, enginetest.Patience, time.Millisecond)
	sequences := func(from, to uint64) (all []uint64) {
		for seq := from; seq <= to; seq++ {
			all = append(all, seq)
		}
		return all
	}
	set := enginetest.Set(t, "a")
	var upTo []uint64
	for seq := uint64(100); seq <= 3000; seq += 290 {
		upTo = append(upTo, seq)
	}
	for e.Stats().FromLeader == 0 {
		retried(t, func() ([]uint64, error) { return e.Newest(t.Context(), set, 1500, 10) })
	}
	for _, seq := range upTo {
		for _, wanted := range []int{1, 10, 1000} {
			got := retried(t, func() ([]uint64, error) { return e.Newest(t.Context(), set, seq, wanted) })
			require.True(t, slices.Equal(sequences(seq-min(seq, uint64(wanted))+1, seq), got), "%d up to %d: %v", wanted, seq, got)
		}
		m := retried(t, func() (stored, error) { return askLeader(t, e, seq) })
		at := retried(t, func() (uint64, error) { return e.SeqAt(t.Context(), m.time) })
		require.LessOrEqual(t, at, seq-1)
		before := retried(t, func() (stored, error) { return askLeader(t, e, max(at, 1)) })
		require.False(t, at > 0 && !before.time.Before(m.time))
		elements := retried(t, func() ([]*hub.Event, error) {
			return e.ReadEach(t.Context(), []uint64{seq}, hub.ReadLimit{Events: 1, Bytes: 1 << 20})
		})
		require.Equal(t, "a", elements[0].Topic)
	}
	// A replica that is behind the leader does not list the newest messages, and still lists messages
	// that the leader has removed. confirmNewest must correct both.
	require.NoError(t, stream.DeleteMsg(t.Context(), 2000))
	want := slices.Concat(sequences(1990, 1999), sequences(2001, 2100))
	for _, l := range []listing{
		{first: 2101, low: 2101},
		{first: 1, low: 1, found: sequences(1, 1000)},
		{first: 1, low: 1900, found: sequences(1900, 1995)},
		{first: 1, low: 1900, found: sequences(1991, 2100)},
		{first: 1, low: 1900, found: slices.Concat(sequences(1900, 1950), sequences(2000, 2058))},
		{first: 1, low: 2090, found: []uint64{2000, 2095}},
	} {
		l.found = l.found[len(l.found)-min(len(l.found), len(want)):]
		got := retried(t, func() ([]uint64, error) {
			return ask(t, func(ctx context.Context) ([]uint64, error) {
				return e.confirmNewest(ctx, e.prefix+"a", l, 2100, len(want))
			})
		})
		require.Equal(t, want, got)
	}
}

// damageFollower removes the second block of messages from a follower of the engine's stream.
func (c *cluster) damageFollower(e *Engine) (damaged int) {
	t := c.t
	t.Helper()
	damaged = c.followerOf(e)
	c.stop(damaged)
	blocks, err := filepath.Glob(filepath.Join(c.options[damaged].StoreDir, "jetstream", "*", "streams", e.cfg.Stream, "msgs", "*"))
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
	return damaged
}

// testDamagedLeader checks a server that lost some of its files and then becomes the stream's leader.
// Subscribers must receive all events, the hub must log the name of the server, and another server must
// become the leader.
func testDamagedLeader(t *testing.T, c *cluster) {
	const events = 3000
	keep := hub.Retention{Bytes: 64 << 20}
	cfg := c.config(keep)
	var log logRecorder
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	h, e := startHub(t, cfg, keep)
	last := publishLarge(t, h, events)
	damaged := c.damageFollower(e)
	name := c.options[damaged].ServerName
	lead := func() {
		require.Eventually(t, func() bool {
			info, err := e.info(t.Context())
			if err == nil && info.Cluster != nil && info.Cluster.Leader == name {
				return true
			}
			_, _ = ask(t, func(ctx context.Context) (any, error) { return nil, e.requestStepDown(ctx, name) }) // fails until the server has caught up
			return false
		}, enginetest.Patience, 500*time.Millisecond)
	}
	for begin := time.Now(); ; { // another server may be elected at any time
		lead()
		_, err := askLeader(t, e, 1500)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		require.Less(t, time.Since(begin), enginetest.Patience, "the server with the damaged files did not become the leader: %v", err)
	}
	readAll := func(window int, keep hub.Retention) {
		cfg.Window = window
		lead()
		behind, _ := startHub(t, cfg, keep)
		r := enginetest.Subscribe(t, behind, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &hub.Cursor{Epoch: last.Epoch}}})
		r.Until(last.Seq)
		require.Empty(t, r.Gaps)
		require.Len(t, r.Events, events)
		require.NoError(t, behind.Close())
	}
	readAll(events, keep)
	const warning = "the stream's leader lacks events; the hub reads them from another NATS server"
	for begin := time.Now(); log.count(warning) == 0; { // repeated, because another server may answer or become the leader
		require.Less(t, time.Since(begin), enginetest.Patience, "the hub did not log: %s", warning)
		readAll(10, hub.Retention{Events: 10})
	}
	lead()
	require.Eventually(t, func() bool {
		e.compareOnce(t.Context(), 1500)
		info, err := e.info(t.Context())
		return err == nil && info.Cluster != nil && info.Cluster.Leader != "" && info.Cluster.Leader != name && log.count("was asked to step down") > 0
	}, enginetest.Patience, 100*time.Millisecond)
	require.Positive(t, e.Stats().Differ[name])
	for _, o := range c.options {
		if o.ServerName != name {
			require.Zero(t, log.count("server="+o.ServerName), "the hub logs no name of a healthy server")
		}
	}
}

// followerOf waits until all servers have all messages of the engine's stream, and returns a server that is not its
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
