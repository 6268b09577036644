package connection

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Reason is the reason why a connection was closed, as it appears in the connection log.
type Reason string

// Reasons. If Counters has a counter for a reason, the reason's string is also the label of the metric.
const (
	ClosedByClient    Reason = "client"      // the client closed the connection, or the connection broke
	ClosedByDrain     Reason = "drain"       // the hub shuts down, and has asked the client to reconnect
	ClosedAnswered    Reason = "answered"    // a poll was answered
	ClosedRefused     Reason = "refused"     // the hub refused input of a WebSocket client
	ClosedUnavailable Reason = "unavailable" // the log could not be read in time
	closedOvertaken   Reason = "overtaken"   // Counters.FellBehind
	closedStuck       Reason = "stuck"       // Counters.WriteStalled
	closedAtDeadline  Reason = "cut"         // Counters.ClosedAtDeadline
	ClosedExpelled    Reason = "expelled"    // Counters.Unauthorized
	ClosedNoMemory    Reason = "no_room"     // Counters.NoEncodingMemory
)

// Log logs the connections of one transport.
type Log struct {
	Logger    *slog.Logger
	Transport string
}

// Record describes one connection for the log. A nil Log returns a nil Record, which logs and counts
// nothing.
type Record struct {
	log              *Log
	session, subject string
	address          netip.Addr
	opened           time.Time
	reason           Reason // guarded by Writer.mu

	events, bytes atomic.Uint64
}

// NewRecord returns the record of a connection. session is the ID of the connection; if it is
// empty, the record has a random ID.
func (l *Log) NewRecord(session string, address netip.Addr) *Record {
	if l == nil {
		return nil
	}
	if session == "" {
		session = uuid.NewString()
	}
	return &Record{log: l, session: session, address: address, opened: time.Now()}
}

// Open sets the subject, and logs that the connection is open.
func (r *Record) Open(subject string) {
	if r != nil {
		r.subject = subject
		r.write("connection opened")
	}
}

// Begin sets the subject. Unlike Open, it logs nothing: a poll has a single log line, which Close
// writes.
func (r *Record) Begin(subject string) {
	if r != nil {
		r.subject = subject
	}
}

// Count adds to the numbers of written events and bytes that Close logs.
func (r *Record) Count(events, bytes int) {
	if r != nil {
		r.events.Add(uint64(events))
		r.bytes.Add(uint64(bytes))
	}
}

// SetReason sets the reason that Close logs, unless a reason is already set.
func (r *Record) SetReason(reason Reason) {
	if r != nil && r.reason == "" {
		r.reason = reason
	}
}

// replaceReason sets the reason that Close logs, even if a reason is already set.
func (r *Record) replaceReason(reason Reason) {
	if r != nil {
		r.reason = reason
	}
}

// Close logs that the connection is closed. If no reason was set, it logs ClosedByClient.
func (r *Record) Close() {
	if r == nil {
		return
	}
	r.SetReason(ClosedByClient)
	r.write("connection closed",
		slog.String("reason", string(r.reason)),
		slog.Duration("duration", time.Since(r.opened).Round(time.Millisecond)),
		slog.Uint64("events", r.events.Load()),
		slog.Uint64("bytes", r.bytes.Load()),
	)
}

func (r *Record) write(message string, more ...slog.Attr) {
	attrs := append([]slog.Attr{
		slog.String("session", r.session),
		slog.String("subject", r.subject),
		slog.String("address", r.address.String()),
		slog.String("transport", r.log.Transport),
	}, more...)
	r.log.Logger.LogAttrs(context.Background(), slog.LevelInfo, message, attrs...)
}

// LogTo makes r log when the connection opens and closes. It must be called before Start. If r is
// nil, nothing is logged.
func (w *Writer) LogTo(r *Record) { w.record = r }

// countDelivered counts events that are written completely or in part.
func (w *Writer) countDelivered(events int) {
	w.cfg.Counters.Delivered.Add(uint64(events))
	w.record.Count(events, 0)
}
