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
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// embedded is a NATS server in this process, with its store.
type embedded struct {
	store *store
	nats  *server.Server
}

// openEmbedded opens the store, starts a server on it, and waits at most timeout until the server
// is ready.
func openEmbedded(cfg *Config, timeout time.Duration) (_ *embedded, err error) {
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
		// The store's own limit is switched off, so that only the limit of the stream applies. The
		// default of the store's limit is a share of the free disk space at the start, which may be
		// less than the size of the stream.
		JetStreamMaxStore: math.MaxInt64,
	})
	if err != nil {
		return e, fmt.Errorf("start the embedded server: %w", err)
	}
	e.nats.SetLoggerV2(&natsLog{cfg.Logger}, false, false, false)
	e.nats.Start()
	if !e.nats.ReadyForConnections(timeout) || !e.nats.JetStreamEnabled() {
		return e, fmt.Errorf("embedded NATS server with store %s did not start; see the log for the reason", cfg.Store)
	}
	return e, nil
}

// logLowSpace logs a warning if the disk will be full before the stream reaches its limit. The
// second parameter is the current size of the stream in bytes.
func (e *embedded) logLowSpace(cfg *Config, has uint64) {
	if free, known := freeSpace(e.store.dir); known && free+has < uint64(cfg.Retention.Bytes) {
		cfg.Logger.Warn("the disk of the store has less free space than the configured retention",
			"store", cfg.Store, "room", free+has, "retain_bytes", cfg.Retention.Bytes)
	}
}

// begin records that the store is in use, and sets the high-water mark to the end of the stream.
func (e *embedded) begin(info *jetstream.StreamInfo) error {
	return e.store.begin(info.Config.Metadata[metaEpoch], info.State.LastSeq)
}

// raise records that subscribers are about to receive events with sequences up to seq.
func (e *embedded) raise(seq uint64) error {
	if e == nil {
		return nil
	}
	return e.store.mark.raise(seq)
}

// logLostEvents logs the number of events that the server has skipped because their files are
// damaged.
func (e *embedded) logLostEvents(log *slog.Logger, info *jetstream.StreamInfo) {
	if lost := info.State.Lost; lost != nil && len(lost.Msgs) > 0 {
		log.Warn("the store is damaged: events are lost, and clients get a gap",
			"events", len(lost.Msgs), "first", slices.Min(lost.Msgs), "last", slices.Max(lost.Msgs), "bytes", lost.Bytes)
	}
}

// health returns the reason why the server has stopped writing, or nil. After a failed write, the
// server does not write again, even if the disk has space again.
func (e *embedded) health() error {
	if e == nil {
		return nil
	}
	for _, failure := range e.nats.Healthz(&server.HealthzOptions{Details: true}).Errors {
		// The server checks whether it accepts connections, with a timeout of a millisecond. On a
		// busy machine, that check fails although the server works, so its result is ignored.
		if failure.Type != server.HealthzErrorConn {
			return fmt.Errorf("the embedded server has stopped writing; see the log for the reason: %s", failure.Error)
		}
	}
	return nil
}

// close stops the server. If clean is set and everything was written to disk, close marks the store
// as closed cleanly.
func (e *embedded) close(clean bool) error {
	if e.nats != nil {
		e.nats.Shutdown()
		e.nats.WaitForShutdown()
	}
	var err error
	if clean {
		if err = e.store.flush(); err == nil {
			err = e.store.setClean(true)
		}
	}
	return errors.Join(err, e.store.close())
}

// natsLog forwards the server's log to slog, one level lower, because the server's notices are not
// relevant for operators of a hub.
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

// damaged matches the server's warnings about files that it cannot read completely.
var damaged = regexp.MustCompile(`(?i)corrupt|checksum|inconsisten|too short|bad (block|subject)|errored|could not (read|locate)`)

func formatLine(format string, v []any) string {
	return "nats-server: " + strings.TrimSpace(fmt.Sprintf(format, v...))
}
