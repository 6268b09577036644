package jetstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// cluster is a cluster of NATS servers in this process, which communicate over real sockets.
type cluster struct {
	t       *testing.T
	options []*server.Options
	servers []*server.Server
	streams atomic.Int64
}

func startCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, servers: make([]*server.Server, n)}
	var routes []*url.URL
	clients, peers := testkit.FreePorts(t, n), testkit.FreePorts(t, n)
	for _, port := range peers {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for i := range n {
		// SyncInterval keeps its default of some minutes. With a short interval, the race detector reports a race in
		// nats-server 2.15.2, which starts the sync timer of a store without holding the lock.
		o := &server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: clients[i], NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), MaxPayload: 2 << 20,
		}
		if n > 1 {
			o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: peers[i]}
			o.Routes = routes
		}
		c.options = append(c.options, o)
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.stop(i)
		}
	})
	c.waitReady()
	return c
}

func (c *cluster) start(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.options[i].Clone())
	require.NoError(c.t, err)
	s.Start()
	require.True(c.t, s.ReadyForConnections(enginetest.Patience))
	c.servers[i] = s
}

func (c *cluster) stop(i int) {
	if s := c.servers[i]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
		c.servers[i] = nil
	}
}

// waitReady blocks until streams can be created in the cluster.
func (c *cluster) waitReady() {
	c.t.Helper()
	conn := c.connect()
	defer conn.Close()
	js, err := natsjs.New(conn)
	require.NoError(c.t, err)
	require.Eventually(c.t, func() bool {
		info, err := js.CreateStream(c.t.Context(), natsjs.StreamConfig{Name: "probe", Replicas: len(c.servers), Storage: natsjs.MemoryStorage})
		return err == nil && info != nil
	}, 3*enginetest.Patience, 100*time.Millisecond)
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	require.NoError(c.t, js.DeleteStream(ctx, "probe"))
}

// deleteStreams deletes the streams of earlier tests, which would delay the restart of a server. It ignores
// errors, because the streams do no other harm.
func (c *cluster) deleteStreams() {
	c.t.Helper()
	conn := c.connect()
	defer conn.Close()
	js, err := natsjs.New(conn, natsjs.WithDefaultTimeout(time.Minute))
	require.NoError(c.t, err)
	var names []string
	for name := range js.StreamNames(c.t.Context()).Name() {
		names = append(names, name)
	}
	for _, name := range names {
		_ = js.DeleteStream(c.t.Context(), name)
	}
	c.t.Logf("deleted %d streams", len(names))
}

func (c *cluster) url() string {
	var urls []string
	for _, o := range c.options {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(urls, ",")
}

func (c *cluster) connect() *nats.Conn {
	c.t.Helper()
	conn, err := nats.Connect(c.url(), nats.Timeout(time.Minute))
	require.NoError(c.t, err)
	return conn
}

// config returns the configuration of an engine with a new stream.
func (c *cluster) config(keep hub.Retention) Config {
	return Config{
		URL: c.url(), Stream: fmt.Sprint("s", c.streams.Add(1)), Replicas: len(c.servers), Retention: keep,
	}
}

func one(topic string) *hub.Event { return &hub.Event{Topic: topic, Data: []byte("1")} }

// testShared checks that every hub delivers the events of all hubs, and accepts cursors and idempotency
// keys that were created through other hubs.
func testShared(t *testing.T, c *cluster) {
	cfg := c.config(hub.Retention{})
	var hubs []*hub.Hub
	for range 3 {
		h, _ := startHub(t, cfg, hub.Retention{})
		hubs = append(hubs, h)
	}
	reader := enginetest.Subscribe(t, hubs[2], hub.Request{Filters: enginetest.Set(t, ">")})
	var last hub.Cursor
	for i := range 30 {
		var err error
		last, err = hubs[i%3].Publish(t.Context(), &hub.Event{Topic: fmt.Sprint("t.", i), Data: []byte("1")})
		require.NoError(t, err)
		// The subscriber moves to another hub, which may not have received the event at its cursor yet.
		moved := enginetest.Subscribe(t, hubs[(i+1)%3], hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &last}})
		moved.Until(last.Seq)
		require.Empty(t, moved.Gaps)
		require.Empty(t, moved.Events)
	}
	reader.Until(last.Seq)
	require.Empty(t, reader.Gaps)
	require.Len(t, reader.Events, 30)
	for _, n := range []int{1, 4} {
		order := func() (events []*hub.Event) {
			for i := range n {
				events = append(events, &hub.Event{Topic: fmt.Sprint("o.", i), Data: []byte("1")})
			}
			return events
		}
		key := fmt.Sprint("k", n)
		first, err := hubs[0].PublishOnce(t.Context(), "s", key, order()...)
		require.NoError(t, err)
		for _, h := range hubs {
			again, err := h.PublishOnce(t.Context(), "s", key, order()...)
			require.NoError(t, err)
			require.Equal(t, first, again)
		}
		_, err = hubs[1].PublishOnce(t.Context(), "s", key+"other", order()...)
		require.NoError(t, err)
		_, err = hubs[2].PublishOnce(t.Context(), "s", key+"other", one("another"))
		require.ErrorIs(t, err, hub.ErrKeyReused)
		_, err = hubs[2].PublishOnce(t.Context(), "s", key+"other", one("another"), one("and.another"))
		require.ErrorIs(t, err, hub.ErrKeyReused)
	}
}

// testStreamSettings checks that a hub refuses a stream with other settings than required, and does not change it.
func testStreamSettings(t *testing.T, c *cluster) {
	conn := c.connect()
	defer conn.Close()
	js, err := natsjs.New(conn, natsjs.WithDefaultTimeout(time.Minute))
	require.NoError(t, err)
	for _, row := range []struct {
		name   string
		change func(*natsjs.StreamConfig, *Config)
		want   string
	}{
		{"age", func(s *natsjs.StreamConfig, _ *Config) { s.MaxAge = time.Hour }, "max age: want 10m0s, the stream has 1h0m0s"},
		{"count", func(s *natsjs.StreamConfig, _ *Config) { s.MaxMsgs = 7 }, "max messages: want 65536, the stream has 7"},
		{"subjects", func(s *natsjs.StreamConfig, _ *Config) { s.Subjects = []string{"x.>"} }, "subjects: want [s"},
		{"memory", func(s *natsjs.StreamConfig, _ *Config) { s.Storage = natsjs.MemoryStorage }, "storage: want File, the stream has Memory"},
		{"no acknowledgements", func(s *natsjs.StreamConfig, _ *Config) { s.NoAck = true }, "no acknowledgements: want false, the stream has true"},
		{"subjects changed", func(s *natsjs.StreamConfig, _ *Config) {
			s.SubjectTransform = &natsjs.SubjectTransformConfig{Source: ">", Destination: s.Name + ".>"}
		}, "subject transform: want false, the stream has true"},
		{"no metadata", func(s *natsjs.StreamConfig, _ *Config) { s.Metadata = nil }, "trivium_epoch (metadata): want 8 hexadecimal digits"},
		{"another version", func(s *natsjs.StreamConfig, _ *Config) { s.Metadata[metaVersion] = "2" }, "trivium_version (metadata): want 1, the stream has 2"},
		{"not atomic", func(s *natsjs.StreamConfig, _ *Config) { s.AllowAtomicPublish = false }, "atomic publish (of nats-server 2.12): want true, the stream has false"},
		{"replicas", func(_ *natsjs.StreamConfig, c *Config) { c.Replicas = 3 }, "replicas: want 3, the stream has 1"},
		{"payload", func(_ *natsjs.StreamConfig, c *Config) { c.MaxEventSize = 2 << 20 }, "events may have at most 2093056 bytes of data, not 2097152"},
		{"no URL", func(_ *natsjs.StreamConfig, c *Config) { c.URL = "nats://a:secret/@b" }, "connect to NATS: want URLs such as"},
		{"no server", func(_ *natsjs.StreamConfig, c *Config) { c.URL = "nats://127.0.0.1:1" }, "connect to NATS: nats: no servers available"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := c.config(hub.Retention{})
			stream := newEngine(t, cfg).streamConfig()
			row.change(&stream, &cfg)
			_, err := js.CreateStream(t.Context(), stream)
			require.NoError(t, err)
			_, err = newEngine(t, cfg).Start(func([]*hub.Event) {})
			for begin := time.Now(); errors.Is(err, hub.ErrUnavailable) && !strings.Contains(err.Error(), row.want) && time.Since(begin) < enginetest.Patience; {
				t.Log(err) // NATS did not answer in time
				_, err = newEngine(t, cfg).Start(func([]*hub.Event) {})
			}
			require.ErrorContains(t, err, row.want)
			require.NotContains(t, err.Error(), "secret")
			found, err := js.Stream(t.Context(), cfg.Stream)
			require.NoError(t, err)
			require.Equal(t, stream.MaxMsgs, found.CachedInfo().Config.MaxMsgs)
			require.Equal(t, stream.MaxAge, found.CachedInfo().Config.MaxAge)
		})
	}
}

// testDeletedStream checks that an engine fails if its stream is deleted, and that a new stream has another epoch.
func testDeletedStream(t *testing.T, c *cluster) {
	cfg := c.config(hub.Retention{})
	h, e := startHub(t, cfg, hub.Retention{})
	last, err := h.Publish(t.Context(), one("a"))
	require.NoError(t, err)
	require.NoError(t, e.js.DeleteStream(t.Context(), cfg.Stream))
	select {
	case err := <-e.Failed():
		require.ErrorContains(t, err, "was deleted")
	case <-time.After(enginetest.Patience):
		require.FailNow(t, "the engine did not report that its stream was deleted")
	}
	require.ErrorIs(t, e.Ready(), hub.ErrUnavailable)
	_, err = h.Publish(t.Context(), one("a"))
	require.ErrorIs(t, err, hub.ErrUnavailable)
	restarted, _ := startHub(t, cfg, hub.Retention{})
	require.NotEqual(t, last.Epoch, restarted.Position().Epoch)
	r := enginetest.Subscribe(t, restarted, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &last}})
	next, err := restarted.Publish(t.Context(), one("b"))
	require.NoError(t, err)
	r.Until(next.Seq)
	require.Len(t, r.Gaps, 1)
	require.Equal(t, hub.GapEpoch, r.Gaps[0].Reason)
	require.Len(t, r.Events, 1)
}

// testLostEvents checks that a new epoch begins if the servers have lost delivered events, as after a power loss.
// In the old epoch, the sequences of these events would be assigned to other events.
func testLostEvents(t *testing.T, c *cluster) {
	cfg := c.config(hub.Retention{})
	h, e := startHub(t, cfg, hub.Retention{})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	_, err := h.Publish(t.Context(), one("kept"), one("kept"))
	require.NoError(t, err)
	dir, before := c.options[0].StoreDir, t.TempDir()
	c.stop(0)
	require.NoError(t, os.CopyFS(before, os.DirFS(dir)))
	require.Eventually(t, func() bool { return e.Ready() != nil }, enginetest.Patience, 10*time.Millisecond)
	c.start(0)
	require.Eventually(t, func() bool { return e.Ready() == nil }, enginetest.Patience, 10*time.Millisecond)
	last, err := h.Publish(t.Context(), one("lost"))
	require.NoError(t, err)
	r.Until(last.Seq)
	c.stop(0)
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.CopyFS(dir, os.DirFS(before)))
	c.start(0)
	select {
	case err := <-e.Failed():
		require.ErrorContains(t, err, "ends at 2 and was delivered up to 3: it has lost events")
	case <-time.After(enginetest.Patience):
		require.FailNow(t, "the engine did not report the lost events")
	}
	restarted, _ := startHub(t, cfg, hub.Retention{})
	again := enginetest.Subscribe(t, restarted, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &last}})
	next, err := restarted.Publish(t.Context(), one("new"))
	require.NoError(t, err)
	require.Equal(t, last.Seq, next.Seq)
	require.NotEqual(t, last.Epoch, next.Epoch)
	again.Until(next.Seq)
	require.Len(t, again.Gaps, 1)
	require.Equal(t, hub.GapEpoch, again.Gaps[0].Reason)
	require.Equal(t, []string{"kept", "kept", "new"}, topicsOf(again.Events))
}

// testDeletedBeforeDelivery checks that events deleted before delivery cause a gap, even if no event follows.
func testDeletedBeforeDelivery(t *testing.T, c *cluster) {
	cfg := c.config(hub.Retention{Bytes: 8 << 10})
	cfg.MaxEventSize = 1 << 10
	h, e := startHub(t, cfg, hub.Retention{})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	first, err := h.Publish(t.Context(), one("a"))
	require.NoError(t, err)
	r.Until(first.Seq)
	ack, err := e.js.Publish(t.Context(), e.prefix+"large", make([]byte, 64<<10))
	require.NoError(t, err)
	r.Until(ack.Sequence)
	require.Equal(t, []string{"a"}, topicsOf(r.Events))
	require.Len(t, r.Gaps, 1)
	require.Equal(t, ack.Sequence, r.Gaps[0].ResumedAt.Seq)
}

// testServerRestart checks that publishing fails immediately while the server is down. Subscribers must get no gap.
func testServerRestart(t *testing.T, c *cluster) {
	h, e := startHub(t, c.config(hub.Retention{}), hub.Retention{})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	last, err := h.Publish(t.Context(), one("before"))
	require.NoError(t, err)
	require.NoError(t, e.Ready())
	r.Until(last.Seq)
	ahead := hub.Cursor{Epoch: last.Epoch, Seq: last.Seq + 1}
	c.stop(0)
	require.Eventually(t, func() bool { return e.Ready() != nil }, enginetest.Patience, 10*time.Millisecond)
	require.ErrorIs(t, e.Ready(), hub.ErrUnavailable)
	for _, publish := range []func() error{
		func() error { _, err := h.Publish(t.Context(), one("lost")); return err },
		func() error { _, err := h.Publish(t.Context(), one("lost"), one("lost")); return err },
		func() error { _, err := h.PublishEach(t.Context(), one("lost"), one("lost")); return err },
		func() error { _, err := h.PublishOnce(t.Context(), "s", "k", one("lost")); return err },
	} {
		begin := time.Now()
		require.ErrorIs(t, publish(), hub.ErrUnavailable)
		require.Less(t, time.Since(begin), e.timeouts.retry/2, "a publish does not wait for the server")
	}
	early := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &ahead}})
	require.False(t, early.Reached(ahead.Seq), "no position is reported as reached while it is unknown whether the cursor is past the end")
	c.start(0)
	require.Eventually(t, func() bool { return e.Ready() == nil }, enginetest.Patience, 10*time.Millisecond)
	receipt, err := h.PublishOnce(t.Context(), "s", "k", one("after"))
	require.NoError(t, err)
	r.Until(receipt.Last.Seq)
	require.Empty(t, r.Gaps)
	early.Until(ahead.Seq)
	require.Equal(t, []string{"before", "after"}, topicsOf(r.Events))
}

func topicsOf(events []*hub.Event) (topics []string) {
	for _, e := range events {
		topics = append(topics, e.Topic)
	}
	return topics
}
