package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// embedded is a server in the process, with its store.
type embedded struct {
	store *store
	nats  *server.Server
}

// openEmbedded takes the store and starts a server on it.
func openEmbedded(cfg *Config) (_ *embedded, err error) {
	s, err := openStore(cfg.Store, cfg.SyncAlways)
	if err != nil {
		return nil, err
	}
	e := &embedded{store: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close(false))
		}
	}()
	payload := cfg.MaxEventSize + MaxMessageOverhead
	e.nats, err = server.NewServer(&server.Options{
		ServerName:   "trivium",
		DontListen:   true,
		NoSigs:       true,
		JetStream:    true,
		StoreDir:     s.dir,
		SyncInterval: SyncInterval,
		SyncAlways:   cfg.SyncAlways,
		MaxPayload:   int32(min(payload, math.MaxInt32)),
		MaxPending:   int64(max(server.MAX_PENDING_SIZE, 4*payload)),
		// The stream's own limit is the only one. A share of what is free when it starts, the default,
		// may be less than what it has already.
		JetStreamMaxStore: math.MaxInt64,
	})
	if err != nil {
		return e, fmt.Errorf("the embedded server: %w", err)
	}
	e.nats.SetLoggerV2(&natsLog{cfg.Logger}, false, false, false)
	e.nats.Start()
	if !e.nats.ReadyForConnections(startTimeout) || !e.nats.JetStreamEnabled() {
		return e, fmt.Errorf("the embedded server does not start on %s; the log says why", cfg.Store)
	}
	return e, nil
}

// logLowSpace tells of a disk that will be full before the stream is, which has so many bytes by now.
func (e *embedded) logLowSpace(cfg *Config, has uint64) {
	if free, known := freeSpace(e.store.dir); known && free+has < uint64(cfg.Retention.Bytes) {
		cfg.Logger.Warn("the disk of the store has less free space than the configured retention",
			"store", cfg.Store, "room", free+has, "retain_bytes", cfg.Retention.Bytes)
	}
}

// begin notes that the store is in use. The mark begins where the stream ends.
func (e *embedded) begin(info *jetstream.StreamInfo) error {
	return e.store.begin(info.Config.Metadata[metaEpoch], info.State.LastSeq)
}

// raise notes that sequences up to seq are about to be seen.
func (e *embedded) raise(seq uint64) error {
	if e == nil {
		return nil
	}
	return e.store.mark.raise(seq)
}

// logLostEvents logs what the server has found damaged and left out.
func (e *embedded) logLostEvents(log *slog.Logger, info *jetstream.StreamInfo) {
	if lost := info.State.Lost; lost != nil && len(lost.Msgs) > 0 {
		log.Warn("the store is damaged: events are lost, and clients get a gap",
			"events", len(lost.Msgs), "first", slices.Min(lost.Msgs), "last", slices.Max(lost.Msgs), "bytes", lost.Bytes)
	}
}

// health says why the server has given up: what could once not be written is not tried again, even
// when there is room. Nil has none to say.
func (e *embedded) health() error {
	if e == nil {
		return nil
	}
	for _, failure := range e.nats.Healthz(&server.HealthzOptions{Details: true}).Errors {
		// Whether it takes connections it has to say within a millisecond, which a busy machine may
		// not have for it.
		if failure.Type != server.HealthzErrorConn {
			return fmt.Errorf("the embedded server takes nothing more; the log says why: %s", failure.Error)
		}
	}
	return nil
}

// close ends the server and then, if all is well and on disk, notes that nothing can be missing.
func (e *embedded) close(well bool) error {
	if e.nats != nil {
		e.nats.Shutdown()
		e.nats.WaitForShutdown()
	}
	var err error
	if well {
		if err = e.store.flush(); err == nil {
			err = e.store.setClean(true)
		}
	}
	return errors.Join(err, e.store.close())
}

// natsLog has the server log by way of slog, less by one level: its notices are nobody's here.
type natsLog struct{ log *slog.Logger }

func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug(formatLine(format, v)) }
func (l *natsLog) Warnf(format string, v ...any) {
	level, text := slog.LevelInfo, formatLine(format, v)
	if damaged.MatchString(text) {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, text)
}
func (l *natsLog) Errorf(format string, v ...any) { l.log.Warn(formatLine(format, v)) }
func (l *natsLog) Fatalf(format string, v ...any) { l.log.Error(formatLine(format, v)) }
func (l *natsLog) Debugf(string, ...any)          {}
func (l *natsLog) Tracef(string, ...any)          {}

// damaged matches the server's warnings about files that it cannot read as they are.
var damaged = regexp.MustCompile(`(?i)corrupt|checksum|inconsisten|too short|bad (block|subject)|errored|could not (read|locate)`)

func formatLine(format string, v []any) string {
	return "nats-server: " + strings.TrimSpace(fmt.Sprintf(format, v...))
}
