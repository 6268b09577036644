package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// Keys of the stream's metadata.
const (
	metaEpoch   = "trivium_epoch"   // the epoch in hexadecimal, as at the beginning of a cursor
	metaVersion = "trivium_version" // version of the message format in the stream
	version     = "1"
)

// streamConfig returns the configuration of the stream with a new epoch.
func (e *Engine) streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               e.cfg.Stream,
		Subjects:           []string{e.prefix + ">"},
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardOld,
		MaxMsgs:            int64(e.cfg.Retention.Events),
		MaxBytes:           e.cfg.Retention.Bytes,
		MaxAge:             e.cfg.Retention.Age,
		MaxMsgsPerSubject:  -1,
		MaxMsgSize:         -1,
		MaxConsumers:       -1,
		Replicas:           e.cfg.Replicas,
		Duplicates:         min(hub.IdempotencyPeriod, e.cfg.Retention.Age),
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Metadata:           map[string]string{metaVersion: version, metaEpoch: newEpoch().String()},
	}
}

func newEpoch() hub.Epoch { return hub.Epoch(rand.Uint32()) }

// openStream returns the stream, and creates it if it does not exist. If openStream fails, an
// existing stream is unchanged. If the store may have lost events, the stream gets a new epoch.
func (e *Engine) openStream(ctx context.Context) (*jetstream.StreamInfo, error) {
	info, err := e.getOrCreateStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream %q: %w", e.cfg.Stream, err)
	}
	want := e.streamConfig()
	if e.cfg.Store != "" {
		// No other hub uses this store, so the stream gets the configured retention.
		info.Config.MaxMsgs, info.Config.MaxBytes, info.Config.MaxAge, info.Config.Duplicates =
			want.MaxMsgs, want.MaxBytes, want.MaxAge, want.Duplicates
	}
	if err := checkStreamConfig(&info.Config, &want); err != nil {
		return nil, fmt.Errorf("stream %q has other settings than required: %w", e.cfg.Stream, err)
	}
	if e.cfg.Store == "" {
		return info, nil
	}
	if why := e.server.store.newEpochReason(info.Config.Metadata[metaEpoch], info.State.LastSeq); why != "" {
		e.cfg.Logger.Warn("starting a new epoch: clients that resume get a gap", "reason", why)
		info.Config.Metadata[metaEpoch] = newEpoch().String()
	}
	if _, err := e.js.UpdateStream(ctx, info.Config); err != nil {
		return nil, fmt.Errorf("stream %q: %w", e.cfg.Stream, err)
	}
	return e.lookUp(ctx)
}

// getOrCreateStream returns the stream, and creates it if it does not exist. In a cluster that is
// starting, both can fail if other hubs create the stream at the same time, because not all servers
// know it yet.
func (e *Engine) getOrCreateStream(ctx context.Context) (*jetstream.StreamInfo, error) {
	for {
		info, err := e.lookUp(ctx)
		if err == nil || !errors.Is(err, jetstream.ErrStreamNotFound) {
			return info, markTransient(err)
		}
		_, err = e.js.CreateStream(ctx, e.streamConfig())
		if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) && !errors.Is(markTransient(err), hub.ErrUnavailable) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, unavailable(cmp.Or(err, ctx.Err()))
		case <-time.After(retryWait):
		}
	}
}

// markTransient wraps err with hub.ErrUnavailable if a retry may succeed: there was no answer or no
// leader, or servers have not joined the cluster yet.
func markTransient(err error) error {
	if isRefused(err) || hasCode(err, errNoPeers) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return unavailable(err)
	}
	return err
}

// lookUp returns the leader's description of the stream. It retries until ctx ends, because a
// cluster that is starting may not answer yet.
func (e *Engine) lookUp(ctx context.Context) (*jetstream.StreamInfo, error) {
	for {
		info, err := e.info(ctx)
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return info, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retryWait):
		}
	}
}

func (e *Engine) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	stream, err := e.js.Stream(ctx, e.cfg.Stream)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// checkStreamConfig returns an error for each setting of the stream that differs from the required one.
func checkStreamConfig(got, want *jetstream.StreamConfig) error {
	var all []error
	differs := func(what string, got, want any) {
		if got != want {
			all = append(all, fmt.Errorf("%s: want %v, the stream has %v", what, want, got))
		}
	}
	field := func(name, what string, got, want any) {
		if got != want {
			all = append(all, configError(name, "%s: want %v, the stream has %v", what, want, got))
		}
	}
	differs("trivium_version (metadata)", got.Metadata[metaVersion], want.Metadata[metaVersion])
	differs("subjects", fmt.Sprint(got.Subjects), fmt.Sprint(want.Subjects))
	differs("storage", got.Storage, want.Storage)
	differs("retention", got.Retention, want.Retention)
	differs("discard", got.Discard, want.Discard)
	field("Retention.Events", "max messages", got.MaxMsgs, want.MaxMsgs)
	field("Retention.Bytes", "max bytes", got.MaxBytes, want.MaxBytes)
	field("Retention.Age", "max age", got.MaxAge, want.MaxAge)
	differs("max messages per subject", got.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	differs("max message size", got.MaxMsgSize, want.MaxMsgSize)
	field("Replicas", "replicas", got.Replicas, want.Replicas)
	differs("duplicate window", got.Duplicates, want.Duplicates)
	differs("direct get", got.AllowDirect, want.AllowDirect)
	differs("atomic publish (of nats-server 2.12)", got.AllowAtomicPublish, want.AllowAtomicPublish)
	differs("sealed", got.Sealed, false)
	differs("no acknowledgements", got.NoAck, false)
	differs("subject transform", got.SubjectTransform != nil, false)
	if _, err := epochOf(got); err != nil {
		all = append(all, err)
	}
	return errors.Join(all...)
}

func epochOf(c *jetstream.StreamConfig) (hub.Epoch, error) {
	text := c.Metadata[metaEpoch]
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil || hub.Epoch(n).String() != text {
		return 0, fmt.Errorf("%s (metadata): want 8 hexadecimal digits, got %q", metaEpoch, text)
	}
	return hub.Epoch(n), nil
}

// unavailable wraps err with hub.ErrUnavailable, which marks it as temporary.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", hub.ErrUnavailable, err)
}

// isRefused reports whether err shows that the request was certainly not carried out, so that it
// may be repeated: the stream had no leader or did not answer, too many requests were waiting, or
// too many atomic batches were open.
func isRefused(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, errUnverified) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.As(err, &api) && (api.Code == 503 || api.Code == 429 || api.ErrorCode == errIncompleteBatch)
}

// Error codes of JetStream (errors.json of nats-server).
const (
	errIncompleteBatch = 10176
	errDuplicate       = 10201 // a message of an atomic batch has an ID that JetStream knows
	errInProcess       = 10158 // JetStream is storing a message with this ID
	errNoPeers         = 10005 // the cluster has fewer servers than the stream has replicas
)
