package jetstream

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// newEngine returns an engine that waits much longer for its server than by default, because other
// tests keep the machine busy.
func newEngine(t *testing.T, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg)
	require.NoError(t, err)
	e.timeouts = timeouts{
		connect: 30 * time.Second, ping: 20 * time.Second, start: 30 * time.Second,
		ack: time.Minute, retry: 2 * time.Minute, election: time.Minute,
	}
	return e
}

func TestEmbedded(t *testing.T) {
	enginetest.Run(t, os.Getenv("TRIVIUM_LONG") != "", func(t *testing.T, keep hub.Retention) hub.Engine {
		return newEngine(t, Config{Store: t.TempDir(), Retention: keep})
	})
}

// reopen closes the hub, calls the function change to edit the content of the store's state file, and starts
// a hub on the store again.
func reopen(t *testing.T, h *hub.Hub, cfg Config, change func(*state)) (*hub.Hub, *Engine) {
	t.Helper()
	require.NoError(t, h.Close())
	path := filepath.Join(cfg.Store, stateName)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var s state
	require.NoError(t, json.Unmarshal(data, &s))
	require.True(t, s.Clean)
	change(&s)
	data, err = json.Marshal(s)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return startHub(t, cfg, hub.Retention{})
}

// Cursors and idempotency keys stay valid after a restart. A new epoch begins only if delivered
// events may have been lost.
func TestRestartKeepsCursorsAndKeys(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		always   bool
		change   func(*state)
		newEpoch bool
	}{
		{"closed cleanly", false, func(*state) {}, false},
		{"closed cleanly, another boot", false, func(s *state) { s.Boot = "another" }, false},
		{"killed", false, func(s *state) { s.Clean = false }, false},
		{"power loss", false, func(s *state) { s.Clean, s.Boot = false, "another" }, true},
		{"killed, boot unknown", false, func(s *state) { s.Clean, s.Boot = false, "" }, true},
		{"power loss, all on disk", true, func(s *state) { s.Clean, s.Boot = false, "another" }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := Config{Store: t.TempDir(), SyncAlways: row.always}
			h, _ := startHub(t, cfg, hub.Retention{})
			first, err := h.Publish(t.Context(), one("a"), one("b"))
			require.NoError(t, err)
			keyed, err := h.PublishOnce(t.Context(), "s", "k", one("c"), one("d"))
			require.NoError(t, err)
			h, _ = reopen(t, h, cfg, row.change)
			require.Equal(t, keyed.Last.Seq, h.Position().Seq)
			require.Equal(t, row.newEpoch, h.Position().Epoch != first.Epoch)
			r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &first}})
			r.Until(keyed.Last.Seq)
			if row.newEpoch {
				require.Len(t, r.Gaps, 1)
				require.Equal(t, hub.GapEpoch, r.Gaps[0].Reason)
				require.Equal(t, []string{"a", "b", "c", "d"}, topicsOf(r.Events))
				return
			}
			require.Empty(t, r.Gaps)
			require.Equal(t, []string{"c", "d"}, topicsOf(r.Events))
			again, err := h.PublishOnce(t.Context(), "s", "k", one("c"), one("d"))
			require.NoError(t, err)
			require.Equal(t, keyed, again)
			next, err := h.PublishOnce(t.Context(), "s", "k2", one("e"))
			require.NoError(t, err)
			require.Equal(t, keyed.Last.Seq+1, next.Last.Seq)
		})
	}
}

// If a store cannot be opened, New returns an error and leaves the store unchanged.
func TestFailedOpenLeavesStoreUnchanged(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		want    string
	}{
		{"another version", func(t *testing.T, dir string) { writeFile(t, dir, stateName, `{"version":2,"clean":true}`) }, "has version 2, but this program supports only version 1"},
		{"not a store", func(t *testing.T, dir string) { writeFile(t, dir, "notes.txt", "mine") }, "is not a store: it contains notes.txt"},
		{"invalid JSON", func(t *testing.T, dir string) { writeFile(t, dir, stateName, "{") }, "trivium.json: unexpected"},
		{"in use", func(t *testing.T, dir string) {
			h, _ := startHub(t, Config{Store: dir}, hub.Retention{})
			_, err := h.Publish(t.Context(), one("a"))
			require.NoError(t, err)
		}, "is in use by another process"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			row.prepare(t, dir)
			before := listDir(t, dir)
			_, err := newEngine(t, Config{Store: dir}).Start(func([]*hub.Event) {})
			require.ErrorContains(t, err, row.want)
			require.Equal(t, before, listDir(t, dir))
		})
	}
	_, err := New(Config{})
	require.ErrorContains(t, err, "want either a store or a URL")
	_, err = New(Config{Store: "x", Stream: "a.b"})
	require.ErrorContains(t, err, `stream: want 1 to 64 letters`)
	_, err = New(Config{Store: "x", MaxEventSize: MaxEventSize + 1})
	require.ErrorContains(t, err, "JetStream accepts events of at most 32505856 bytes")
	_, err = New(Config{Store: "x", Retention: hub.Retention{Bytes: 1 << 20}})
	require.ErrorContains(t, err, "a log of 1048576 bytes has no room for an event of 1048576 bytes: want at least 1052672")
	_, err = New(Config{Store: "x", Replicas: 3})
	require.ErrorContains(t, err, "replicas: want 1")
}

// A failed Start, and Close after it, leave the store unchanged.
func TestFailedStartLeavesStoreUnchanged(t *testing.T) {
	t.Parallel()
	cfg := Config{Store: t.TempDir()}
	h, _ := startHub(t, cfg, hub.Retention{})
	require.NoError(t, h.Close())
	lost := `{"version":1,"clean":false,"boot":"another","sync_always":false}` + "\n"
	writeFile(t, cfg.Store, stateName, lost)
	e := newEngine(t, cfg)
	e.cfg.Stream = "other"
	_, err := e.Start(func([]*hub.Event) {})
	require.ErrorContains(t, err, "subjects overlap with an existing stream")
	require.NoError(t, e.Close())
	left, err := os.ReadFile(filepath.Join(cfg.Store, stateName))
	require.NoError(t, err)
	require.Equal(t, lost, string(left))
	_, err = e.Publish(t.Context(), []*hub.Event{one("a")})
	require.ErrorIs(t, err, hub.ErrClosed)
}

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
}

func listDir(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The stream of an embedded server gets the configured retention at each start.
func TestRetentionFollowsConfiguration(t *testing.T) {
	t.Parallel()
	cfg := Config{Store: t.TempDir()}
	h, _ := startHub(t, cfg, hub.Retention{})
	for i := range 20 {
		_, err := h.Publish(t.Context(), one(fmt.Sprint("t.", i)))
		require.NoError(t, err)
	}
	begin := hub.Cursor{Epoch: h.Position().Epoch}
	cfg.Retention.Events = 5
	h, _ = reopen(t, h, cfg, func(*state) {})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &begin}})
	r.Until(20)
	require.Len(t, r.Gaps, 1)
	require.Equal(t, hub.Gap{Reason: hub.GapExpired, After: begin.String(), ResumedAt: hub.Cursor{Epoch: begin.Epoch, Seq: 15}}, r.Gaps[0])
	require.Len(t, r.Events, 5)
}

// An engine can start on a disk with less free space than the configured retention.
func TestStartOnSmallDisk(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	cfg := Config{
		Store: t.TempDir(), Retention: hub.Retention{Bytes: 1 << 60},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	h, _ := startHub(t, cfg, hub.Retention{})
	_, err := h.Publish(t.Context(), one("a"), one("b"))
	require.NoError(t, err)
	_, _ = reopen(t, h, cfg, func(*state) {})
	if _, known := freeSpace(cfg.Store); known {
		require.Contains(t, log.String(), "the disk of the store has less free space than the configured retention")
	}
}

// Events that were published under a larger size limit are still delivered.
func TestEventsAboveLoweredLimitAreDelivered(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	cfg := Config{Store: t.TempDir(), MaxEventSize: size}
	e := newEngine(t, cfg)
	h, err := hub.New(hub.Config{Engine: e, MaxEventSize: size})
	require.NoError(t, err)
	large := &hub.Event{Topic: "a", Encoding: hub.Binary, Data: make([]byte, size)}
	last, err := h.Publish(t.Context(), large, one("b"))
	require.NoError(t, err)
	begin := hub.Cursor{Epoch: last.Epoch}
	cfg.MaxEventSize = 0
	h, _ = reopen(t, h, cfg, func(*state) {})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &begin}})
	r.Until(last.Seq)
	require.Empty(t, r.Gaps)
	require.Len(t, r.Events, 2)
	require.Len(t, r.Events[0].Data, size)
}

// A valid event is unchanged by encode and decode, whether its message is received from a consumer or
// from a direct get.
func TestEventsSurviveEncoding(t *testing.T) {
	t.Parallel()
	h, e := startHub(t, Config{Store: t.TempDir()}, hub.Retention{})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	token := rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool {
		return r != '.' && hub.ValidateTopic(string(r)) == nil
	}), 1, 8, 14)
	topic := rapid.Map(rapid.SliceOfN(token, 1, 16), func(tokens []string) string { return strings.Join(tokens, ".") })
	label := rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return !unicode.IsControl(r) }), 0, 30, 128)
	kind := label.Filter(func(s string) bool { return (&hub.Event{Topic: "a", Type: s}).Validate(0) == nil })
	rapid.Check(t, func(t *rapid.T) {
		event := &hub.Event{
			Topic:    topic.Draw(t, "topic"),
			Type:     kind.Draw(t, "type"),
			Key:      label.Draw(t, "key"),
			Encoding: rapid.SampledFrom([]hub.Encoding{hub.JSON, hub.Text, hub.Binary}).Draw(t, "encoding"),
			Data:     []byte("17"),
		}
		if event.Encoding == hub.Text {
			event.Data = []byte(rapid.String().Draw(t, "text"))
		}
		require.NoError(t, event.Validate(1000))
		want := &hub.Event{Topic: event.Topic, Type: event.Type, Key: event.Key, Encoding: event.Encoding, Data: event.Data}
		last, err := h.Publish(t.Context(), event)
		require.NoError(t, err)
		r.Until(last.Seq)
		read := retried(t, func() ([]*hub.Event, error) {
			return e.ReadAfter(t.Context(), last.Seq-1, hub.ReadLimit{Events: 1, Bytes: 1})
		})
		for _, got := range []*hub.Event{r.Events[len(r.Events)-1], read[0]} {
			require.Equal(t, last, got.ID)
			require.Equal(t, [3]string{want.Topic, want.Type, want.Key}, [3]string{got.Topic, got.Type, got.Key})
			require.Equal(t, want.Encoding, got.Encoding)
			require.Equal(t, string(want.Data), string(got.Data))
			require.WithinDuration(t, time.Now(), got.Time, time.Minute)
		}
	})
}
