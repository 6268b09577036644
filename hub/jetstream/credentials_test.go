package jetstream

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// logRecorder records log lines.
type logRecorder struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *logRecorder) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *logRecorder) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Count(j.text.Bytes(), []byte(what))
}

// TestCredentials checks that a hub whose credentials were rejected several times continues when
// they are accepted.
func TestCredentials(t *testing.T) {
	t.Parallel()
	options := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true,
		StoreDir: t.TempDir(), MaxPayload: 2 << 20, Username: "hub", Password: "secret",
	}
	nats, err := server.NewServer(options)
	require.NoError(t, err)
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	require.True(t, nats.ReadyForConnections(enginetest.Patience))
	become := func(password string) {
		changed := options.Clone()
		changed.Password = password
		require.NoError(t, nats.ReloadOptions(changed))
	}
	var log logRecorder
	h, e := startHub(t, Config{
		URL: "nats://hub:secret@" + nats.Addr().String(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, hub.Retention{})
	_, err = h.Publish(t.Context(), one("a"))
	require.NoError(t, err)
	become("another")
	require.Eventually(t, func() bool { return log.count("uthorization") >= 4 }, enginetest.Patience, 10*time.Millisecond)
	require.Error(t, e.Ready())
	become("secret")
	require.Eventually(t, func() bool {
		_, err := h.Publish(t.Context(), one("b"))
		return err == nil
	}, enginetest.Patience, 10*time.Millisecond)
	require.Zero(t, log.count("secret"))
}
