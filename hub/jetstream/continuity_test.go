package jetstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// replaceStore stops server i and replaces its store with the older copy in dir. The caller must start
// the server.
func (c *cluster) replaceStore(i int, dir string) {
	c.t.Helper()
	c.stop(i)
	require.NoError(c.t, os.RemoveAll(c.options[i].StoreDir))
	require.NoError(c.t, os.CopyFS(c.options[i].StoreDir, os.DirFS(dir)))
}

// A server whose store was restored from an older copy assigns the sequences of the lost events again.
// No subscriber may receive two different events with the same ID, whether this hub or another program
// is the first to publish.
func testReusedSequences(t *testing.T, c *cluster) {
	for _, row := range []struct {
		name    string
		publish func(t *testing.T, cfg Config, h *hub.Hub) error // publishes an array whose last sequence was not delivered before
		each    bool
	}{
		{name: "this hub", publish: func(t *testing.T, _ Config, h *hub.Hub) error {
			_, err := h.Publish(context.Background(), many("new", 30)...)
			return err
		}},
		{name: "this hub, each", publish: func(t *testing.T, _ Config, h *hub.Hub) error {
			_, err := h.PublishEach(context.Background(), many("new", 30)...)
			return err
		}},
		{name: "another program", publish: func(t *testing.T, cfg Config, _ *hub.Hub) error {
			conn := c.connect()
			defer conn.Close()
			for range 30 {
				if _, err := conn.Request(cfg.Stream+".new", []byte("1"), enginetest.Patience); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(row.name, func(t *testing.T) { reuseSequences(t, c, row.publish) })
	}
}

func reuseSequences(t *testing.T, c *cluster, publish func(*testing.T, Config, *hub.Hub) error) {
	cfg := c.config(hub.Retention{})
	h, e := startHub(t, cfg, hub.Retention{})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	_, err := h.Publish(t.Context(), many("kept", 20)...)
	require.NoError(t, err)
	earlier := t.TempDir()
	c.stop(0)
	require.NoError(t, os.CopyFS(earlier, os.DirFS(c.options[0].StoreDir)))
	require.Eventually(t, func() bool { return e.Ready() != nil }, enginetest.Patience, time.Millisecond)
	c.start(0)
	require.Eventually(t, func() bool { return e.Ready() == nil }, enginetest.Patience, time.Millisecond)
	last, err := h.Publish(t.Context(), many("lost", 20)...)
	require.NoError(t, err)
	r.Until(last.Seq)
	c.replaceStore(0, earlier)
	require.Eventually(t, func() bool { return e.Ready() != nil }, enginetest.Patience, time.Millisecond)
	c.start(0)
	for begin := time.Now(); !e.conn.IsConnected() && time.Since(begin) < enginetest.Patience; {
		time.Sleep(time.Millisecond)
	}
	err = publish(t, cfg, h)
	t.Logf("published: %v", err)
	select {
	case err := <-e.Failed():
		// The publisher begins the new epoch. The follower may detect and report it first.
		require.Regexp(t, "it has lost events and continues in a new epoch|was created anew", err.Error())
	case <-time.After(enginetest.Patience):
		require.FailNow(t, "the engine did not report the lost events")
	}
	require.ErrorIs(t, e.Ready(), hub.ErrUnavailable)
	require.Equal(t, last, h.Position(), "no further event is delivered in the old epoch")

	restarted, _ := startHub(t, cfg, hub.Retention{})
	again := enginetest.Subscribe(t, restarted, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &last}})
	next, err := restarted.Publish(t.Context(), one("end"))
	require.NoError(t, err)
	require.NotEqual(t, last.Epoch, next.Epoch)
	again.Until(next.Seq)
	require.Len(t, again.Gaps, 1)
	require.Equal(t, hub.GapEpoch, again.Gaps[0].Reason)
	require.Len(t, again.Events, int(next.Seq))
}

func many(topic string, n int) (events []*hub.Event) {
	for i := range n {
		events = append(events, &hub.Event{Topic: topic, Data: fmt.Append(nil, i)})
	}
	return events
}

// TestVerificationIsRepeated checks that verify is repeated while the leader does not answer, that the
// repetition ends after timeouts.ack, and that a failed engine does not repeat it.
func TestVerificationIsRepeated(t *testing.T) {
	for _, row := range []struct {
		name   string
		silent int // number of checks without an answer
		ended  bool
		calls  int
		took   time.Duration
	}{
		{"answered", 0, false, 1, 0},
		{"silent twice", 2, false, 3, 2 * retryWait},
		{"silent", 1000, false, 50, defaultTimeouts.ack},
		{"failed", 1000, true, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			e, err := New(Config{Store: t.TempDir()})
			require.NoError(t, err)
			defer e.close()
			if row.ended {
				e.fail(errNoMajority)
			}
			calls, begin := 0, time.Now()
			err = e.retryVerify(t.Context(), func(context.Context) error {
				if calls++; calls <= row.silent {
					return hub.ErrUnavailable
				}
				return nil
			})
			require.Equal(t, row.silent < row.calls, err == nil, row.name)
			require.InDelta(t, row.calls, calls, 1, row.name)
			require.Equal(t, row.took, time.Since(begin), row.name)
		})
	}
}

// If the engine begins a new epoch, it reports the reason, even if another goroutine of the engine detects
// the new epoch before the server has answered the request that set it.
func TestReasonOfNewEpochIsKept(t *testing.T) {
	_, e := startHub(t, Config{Store: t.TempDir()}, hub.Retention{})
	info := retried(t, func() (*jetstream.StreamInfo, error) { return e.check(t.Context()) })
	e.mu.Lock()
	e.endsEpoch = errors.New("it has lost events")
	e.mu.Unlock()
	info.Config.Metadata[metaEpoch] = newEpoch().String()
	_, err := e.js.UpdateStream(t.Context(), info.Config)
	require.NoError(t, err)
	_, err = e.check(t.Context())
	require.ErrorIs(t, err, hub.ErrUnavailable)
	require.ErrorContains(t, <-e.Failed(), "it has lost events")
}
