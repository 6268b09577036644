package jetstream

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

func TestErasures(t *testing.T) {
	var s erasures
	s.add(9, 3)
	s.add(8, 4)
	s.add(9, 3)
	require.Equal(t, []uint64{3, 4, 8, 9}, s.seqs)
	for _, row := range []struct{ after, through, want uint64 }{
		{2, 3, 2}, {2, 4, 2}, {1, 4, 2}, {4, 7, 7}, {4, 9, 7}, {7, 9, 7}, {9, 12, 12}, {0, 2, 2}, {5, 6, 6},
	} {
		require.Equal(t, row.want, s.newestLost(row.after, row.through), "%+v", row)
	}
	s.forget(5)
	require.Equal(t, []uint64{3, 4, 8, 9}, s.seqs, "erasures directly before the first sequence are kept, so that a subscriber at 2 gets no gap")
	s.forget(6)
	require.Equal(t, []uint64{8, 9}, s.seqs)
}

// filesContaining returns the paths of the files below dir whose content includes text.
func filesContaining(t *testing.T, dir, text string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// After an erasure, no file of the store contains the bytes of the event. After a restart of the hub too, a
// subscriber that starts at or before the erased event gets no gap, whether the position of the event is in
// the in-memory log or only in the stream.
func TestErasureSurvivesRestart(t *testing.T) {
	t.Parallel()
	for _, after := range []int{0, 500} { // number of events after the erased one, which is then in the newest block or in an older one
		t.Run(fmt.Sprint(after, " events after it"), func(t *testing.T) {
			const marker = "marker-of-the-erased-event"
			cfg := Config{Store: t.TempDir(), Window: 50}
			keep := hub.Retention{Events: 50}
			h, _ := startHub(t, cfg, keep)
			first, err := h.Publish(t.Context(), one("a"))
			require.NoError(t, err)
			secret, err := h.Publish(t.Context(), &hub.Event{Topic: "a", Data: []byte(`"` + marker + `"`)})
			require.NoError(t, err)
			for range after {
				_, err = h.Publish(t.Context(), one("a"))
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool { return len(filesContaining(t, cfg.Store, marker)) > 0 }, enginetest.Patience, 10*time.Millisecond)
			enginetest.RequireErase(t, h, secret, nil)
			last, err := h.Publish(t.Context(), one("a"))
			require.NoError(t, err)
			for range 3 {
				for _, start := range []hub.Cursor{{Epoch: first.Epoch}, first, secret} {
					r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &start}})
					r.Until(last.Seq)
					require.Empty(t, r.Gaps, "after %v", start)
					require.Len(t, r.Events, after+2-min(int(start.Seq), 1))
				}
				enginetest.RequireErase(t, h, secret, hub.ErrNoEvent)
				require.NoError(t, h.Close())
				require.Empty(t, filesContaining(t, cfg.Store, marker))
				h, _ = startHub(t, cfg, keep)
			}
		})
	}
}

// testErased checks that an event erased through one hub is removed from all hubs, including a
// disconnected hub, a hub that had not read the event yet, and a hub that starts later. No hub may
// report a gap.
func testErased(t *testing.T, c *cluster) {
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		"cut", fmt.Sprintf("127.0.0.1:%d", testkit.FreePorts(t, 1)[0]), fmt.Sprintf("127.0.0.1:%d", c.options[0].Port))
	require.NoError(t, proxy.Start())
	defer proxy.Stop()
	cfg := c.config(hub.Retention{})
	other, _ := startHub(t, cfg, hub.Retention{})
	beyond := cfg
	beyond.URL = "nats://" + proxy.Listen
	h, e := startHub(t, beyond, hub.Retention{})
	live := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	var ids []hub.Cursor
	publish := func(n int) {
		for range n {
			id, err := other.Publish(t.Context(), one("a"))
			require.NoError(t, err)
			ids = append(ids, id)
		}
	}
	publish(10)
	live.Until(ids[9].Seq)
	if len(c.servers) == 1 { // in a larger cluster, the hub would connect to another server
		proxy.Stop()
		require.Eventually(t, func() bool { return e.Ready() != nil }, enginetest.Patience, 10*time.Millisecond)
	}
	enginetest.RequireErase(t, other, ids[4], nil, "an event in the memory of the disconnected hub is erased")
	publish(10)
	enginetest.RequireErase(t, other, ids[14], nil, "an event that the disconnected hub has not read is erased")
	publish(10)
	enginetest.RequireErase(t, other, ids[29], nil, "the newest event, which the disconnected hub has not read, is erased")
	if len(c.servers) == 1 {
		require.NoError(t, proxy.Start())
	}
	require.Eventually(t, func() bool { return e.Ready() == nil }, enginetest.Patience, 10*time.Millisecond)
	publish(1)
	live.Until(ids[30].Seq)
	require.Empty(t, live.Gaps)
	require.Eventually(t, func() bool { return other.Position().Seq >= ids[30].Seq }, enginetest.Patience, time.Millisecond)
	if len(c.servers) == 1 {
		require.Len(t, live.Events, 31-2, "the reconnected hub delivers all events except the two erased ones that it had not read")
	}
	late, _ := startHub(t, cfg, hub.Retention{Events: 5})
	for name, hub := range map[string]*hub.Hub{"cut off": h, "other": other, "started later": late} {
		requireErased(t, name, hub, ids, 4, 14, 29)
		enginetest.RequireErase(t, hub, ids[4], errNoEvent, name)
	}
	enginetest.RequireErase(t, h, ids[5], nil)
	require.Eventually(t, func() bool { return other.Position().Seq == h.Position().Seq }, enginetest.Patience, time.Millisecond)
	requireErased(t, "other", other, ids, 4, 5, 14, 29)
}

var errNoEvent = hub.ErrNoEvent

// requireErased subscribes at each position in ids. It requires that each subscriber receives all later
// events except the erased ones, and no gap. erased contains the indices of the erased events in ids.
func requireErased(t *testing.T, name string, h *hub.Hub, ids []hub.Cursor, erased ...int) {
	t.Helper()
	for i := range ids {
		r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &ids[i]}})
		r.Until(ids[len(ids)-1].Seq)
		want := len(ids) - 1 - i
		for _, j := range erased {
			if j > i {
				want--
			}
		}
		require.Empty(t, r.Gaps, "%s, after event %d", name, i)
		require.Len(t, r.Events, want, "%s, after event %d", name, i)
	}
}

// testEraseForged checks that invalid erasures erase no event: a message on another subject, a message
// without a sequence, and a message that names its own or a later sequence.
func testEraseForged(t *testing.T, c *cluster) {
	cfg := c.config(hub.Retention{})
	h, e := startHub(t, cfg, hub.Retention{})
	first, err := h.Publish(t.Context(), one("a"))
	require.NoError(t, err)
	for _, m := range []*nats.Msg{
		{Subject: e.prefix + "a", Data: []byte("1"), Header: nats.Header{headerErased: {"1"}}},
		{Subject: e.prefix + erasedSubject, Header: nats.Header{headerErased: {"3"}}},
		{Subject: e.prefix + erasedSubject, Header: nats.Header{headerErased: {"x"}}},
		{Subject: e.prefix + erasedSubject, Data: []byte("1")},
	} {
		_, err := e.js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
	}
	last, err := h.Publish(t.Context(), one("a"))
	require.NoError(t, err)
	begin := hub.Cursor{Epoch: first.Epoch}
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &begin}})
	r.Until(last.Seq)
	require.Len(t, r.Events, 3)
}
