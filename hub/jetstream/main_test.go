package jetstream

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

func TestMain(m *testing.M) {
	const atOnce = "8" // number of parallel tests unless -parallel is set; the tests mostly wait
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if !isSet {
		_ = flag.Set("test.parallel", atOnce) // never fails: the value is a number
	}
	testkit.Main(m)
}

// startHub starts a hub. While NATS is unavailable, it retries, as the trivium command does.
func startHub(t *testing.T, cfg Config, keep hub.Retention) (*hub.Hub, *Engine) {
	t.Helper()
	return startHubWith(t, keep, func() *Engine { return newEngine(t, cfg) })
}

// startHubWith starts a hub as startHub does, but with an engine from create, which is called for each
// attempt.
func startHubWith(t *testing.T, keep hub.Retention, create func() *Engine) (*hub.Hub, *Engine) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(retryWait) {
		e := create()
		h, err := hub.New(hub.Config{Engine: e, Retention: keep})
		if errors.Is(err, hub.ErrUnavailable) && time.Since(begin) < enginetest.Patience {
			t.Log(err)
			continue
		}
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, h.Close()) })
		return h, e
	}
}

// ask calls request with a context that ends after some seconds: a stream that is electing a leader
// does not answer. In that case, the error is hub.ErrUnavailable.
func ask[T any](t *testing.T, request func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	value, err := request(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = unavailable(err)
	}
	return value, err
}

// askLeader returns the leader's message at the sequence seq.
func askLeader(t *testing.T, e *Engine, seq uint64) (stored, error) {
	return ask(t, func(ctx context.Context) (stored, error) { return e.getFromLeader(ctx, getRequest{Seq: seq}) })
}

// logger is implemented by *testing.T and *rapid.T.
type logger interface {
	require.TestingT
	Helper()
	Log(...any)
}

// retried calls the function read, and repeats the call while JetStream does not answer in time. The hub
// repeats its reads in the same way.
func retried[T any](t logger, read func() (T, error)) T {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(retryWait) {
		value, err := read()
		if errors.Is(err, hub.ErrUnavailable) && time.Since(begin) < enginetest.Patience {
			t.Log(err)
			continue
		}
		require.NoError(t, err)
		return value
	}
}
