package connection

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Codec encodes the hub's events and control messages for one transport.
type Codec interface {
	Format
	// Unwrap removes from an encoded event the framing that the connection does not use, for example the
	// HTTP/1.1 chunk around an event that is sent over HTTP/2. If the connection has direct writes,
	// Unwrap must return its argument unchanged, because fan-out workers write encoded events without
	// calling Unwrap.
	Unwrap([]byte) []byte
	// AppendMessage appends a control message to dst. If the message ends the stream (an error or a
	// goaway), AppendMessage also appends the bytes that the transport requires at the end of a
	// stream.
	AppendMessage(dst []byte, m wire.Message) []byte
}

// Config configures a Writer. It must not change after Start.
type Config struct {
	Codec        Codec
	Counters     *Counters
	Registry     *Registry
	WriteTimeout time.Duration // time without progress after which the connection is closed
	// Disconnect makes the Writer disconnect a subscriber that fell behind retention. By default, the
	// Writer sends a gap instead.
	Disconnect bool
}

// Counters are the counters of one transport's connections.
type Counters struct {
	Connections      atomic.Int64 // currently open connections
	Opened           atomic.Uint64
	Delivered        atomic.Uint64 // events of which at least a part was written
	Bytes            atomic.Uint64 // written bytes, before TLS; for long-poll only the response bodies
	FellBehind       atomic.Uint64 // connections closed because they fell behind retention
	WriteStalled     atomic.Uint64 // connections closed because a write made no progress
	ClosedAtDeadline atomic.Uint64 // connections closed at the drain deadline with unwritten data
	Unauthorized     atomic.Uint64 // connections closed because the token expired, was revoked or lost a right
	// NoEncodingMemory counts connections that were closed, and polls that were answered with status
	// 503, because retention had removed a large event before it was completely written, and the
	// EncodingCache had no memory for its encoding.
	NoEncodingMemory atomic.Uint64
}

// Writer owns the write side of one connection after its handshake, and the position of its
// subscription. It implements hub.Sink and auth.Holder, and is a member of its Registry.
type Writer struct {
	// Static after Start.

	cfg  *Config
	sub  *hub.Subscription
	conn Conn

	record *Record // the connection in the log; nil: not logged

	slot, index int32 // position in Registry.slots; guarded by Registry.mu

	mu           sync.Mutex
	stateChanged *sync.Cond // signaled when writing ends and when the Writer is closed; nil until a goroutine waits

	// Guarded by mu.

	session auth.Access
	queued  *pending
	end     *end  // nil: no end is scheduled, or the Writer was closed before the end
	watch   watch // registration of conn with the poller
	state   state
	writing bool // whether the drain goroutine owns the connection, see state

	inCommand   bool   // a command of the peer is running; see BeginCommand
	goawayAfter uint32 // retry delay of the postponed Goaway that EndCommand must write, in milliseconds; 0: none
}

// pending contains everything that is queued. It exists only while something is queued, which is
// rare.
type pending struct {
	control   []byte       // whole messages, written before the next event
	tail      []byte       // rest of an event or message that was written in part; written before control
	partial   partialEvent // rest of a large event that was written in part; set instead of tail
	batch     portion      // events that were already read from the hub; written before control
	heartbeat bool         // whether to write a heartbeat when no events are left
}

// New returns a Writer. It writes nothing before Start.
func New() *Writer { return new(Writer) }

// pending returns w.queued, and creates it if necessary.
func (w *Writer) pending() *pending {
	if w.queued == nil {
		w.queued = new(pending)
	}
	return w.queued
}

// waitStateChange blocks until signalStateChange is called. The caller must then check its condition
// again. mu must be held.
func (w *Writer) waitStateChange() {
	if w.stateChanged == nil {
		w.stateChanged = sync.NewCond(&w.mu)
	}
	w.stateChanged.Wait()
}

// signalStateChange wakes the goroutines that are blocked in waitStateChange. mu must be held.
func (w *Writer) signalStateChange() {
	if w.stateChanged != nil {
		w.stateChanged.Broadcast()
	}
}

// Start writes the bytes in opening, and then the events of sub. The caller must have acquired access.
// If the registry accepts no more members, Start returns false, and the caller must close conn and sub
// and release access. If Start returns true, the Writer does this when it is closed.
func (w *Writer) Start(cfg *Config, access auth.Access, sub *hub.Subscription, conn Conn, opening []byte) bool {
	// mu is held until Start returns, so that Registry.Close cannot close a Writer that is only partly
	// started.
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg, w.sub, w.conn = cfg, sub, conn
	if !w.cfg.Registry.add(w) {
		return false
	}
	w.cfg.Counters.Connections.Add(1)
	w.cfg.Counters.Opened.Add(1)
	w.session, w.state = access, stateOpen
	w.record.Open(w.subject())
	w.writeControl(opening)
	w.checkRights() // the rights may have changed since the request was authorized
	if sub.Behind() {
		w.startDrain()
	}
	if w.state != stateClosed {
		w.startWatch(conn, nil)
	}
	return true
}

// Ready implements hub.Sink. It writes as much of the batch as the socket accepts without blocking.
func (w *Writer) Ready(batch *hub.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing || w.state != stateOpen && w.state != stateEnding {
		return
	}
	start, ok := w.sub.Offset(batch)
	if !ok {
		w.startDrain()
		return
	}
	cache, codec := w.cache(), w.cfg.Codec
	encoded := func(e *hub.Event) []byte { return cache.Encoded(e, codec) }
	for start < len(batch.Events) {
		b, end := batch.Coalesce(int(codec.Form()), encoded, start)
		n, err := w.tryWrite(b)
		if err != nil {
			w.closeOnError(err)
			return
		}
		if n < len(b) {
			w.advancePast(batch.Events[start:end], b, n)
			w.startDrain()
			return
		}
		w.sub.Advance(batch.Events[end-1].ID.Seq)
		w.countDelivered(end - start)
		if w.writing { // the drain goroutine reads the remaining events from the hub
			return
		}
		start = end
	}
	w.sub.Advance(batch.To)
}

// advancePast advances the position past each event that was written completely or in part. joined
// contains the encodings of the events; only its first n bytes were written. If an event was written in
// part, its rest is kept for the drain goroutine, which reads later events from the hub.
func (w *Writer) advancePast(events []*hub.Event, joined []byte, n int) {
	for _, e := range events {
		if n == 0 {
			return
		}
		b := joined
		if len(events) > 1 {
			b = w.cache().Encoded(e, w.cfg.Codec)
		}
		w.sub.Advance(e.ID.Seq)
		w.countDelivered(1)
		if n < len(b) {
			w.keepRest(e.ID, b, n)
			return
		}
		n -= len(b)
	}
}

// tryWrite writes as much of b as the connection accepts without blocking, and counts the bytes. If the
// connection accepts all of b but has not sent all bytes, tryWrite starts the drain goroutine.
func (w *Writer) tryWrite(b []byte) (int, error) {
	n, err := w.conn.TryWrite(b)
	w.cfg.Counters.Bytes.Add(uint64(n))
	w.record.Count(0, n)
	if err == nil && n == len(b) && w.conn.Buffered() {
		w.startDrain()
	}
	return n, err
}

// writeAll writes all of b, and counts the bytes.
func (w *Writer) writeAll(b []byte) error {
	err := w.conn.Write(b, w.cfg.WriteTimeout)
	if err == nil {
		w.cfg.Counters.Bytes.Add(uint64(len(b)))
		w.record.Count(0, len(b))
	}
	return err
}

// writeControl writes a message. While the drain goroutine owns the connection, writeControl queues the
// message; the drain goroutine writes it before the next event.
func (w *Writer) writeControl(message []byte) {
	if w.state == stateClosed {
		return
	}
	if w.writing {
		q := w.pending()
		q.control = append(q.control, message...)
		return
	}
	n, err := w.tryWrite(message)
	switch {
	case err != nil:
		w.closeOnError(err)
	case n < len(message):
		w.pending().tail = message[n:]
		w.startDrain()
	}
}

// maxControlQueue is the size of queued control messages above which WriteControl blocks until the
// drain goroutine takes them.
const maxControlQueue = 16 << 10 // bytes

func (w *Writer) controlQueueFull() bool {
	return w.queued != nil && len(w.queued.control) > maxControlQueue
}

// WriteControl writes one message between two events. It blocks while more than 16 KiB of messages
// are queued, so only the goroutine that reads from the connection may call it. If the end of the
// stream is scheduled, WriteControl does nothing.
func (w *Writer) WriteControl(message []byte) {
	w.Update(func(*hub.Subscription) []byte { return message })
}

// TryWriteControl is like WriteControl, but drops the message instead of blocking.
func (w *Writer) TryWriteControl(message []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == stateOpen && !w.controlQueueFull() {
		w.writeControl(message)
	}
}

// Update calls change, which may modify the subscription and read its position. If change returns a
// message, Update writes the message after all events up to that position and before all later events.
// Like WriteControl, Update may block.
func (w *Writer) Update(change func(*hub.Subscription) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.controlQueueFull() && w.state != stateClosed {
		w.waitStateChange()
	}
	if w.state != stateOpen {
		return
	}
	if w.flushPending(); w.state != stateOpen {
		return
	}
	if message := change(w.sub); len(message) > 0 {
		w.writeControl(message)
	}
	if !w.writing && w.state != stateClosed && w.sub.Behind() {
		w.startDrain()
	}
}

// flushPending reads unread events from the hub, and writes or queues them, so that the subscriber's
// position advances past them. While the drain goroutine owns the connection, flushPending does nothing.
func (w *Writer) flushPending() {
	if w.writing {
		return
	}
	position := w.sub.Position()
	b := w.sub.Read(chunkLimit)
	switch {
	case w.endIfFellBehind(&b):
		w.startDrain()
	case !areSmall(b.Events):
		w.pending().batch = w.portionOf(position, &b)
		w.startDrain()
	default:
		if message := w.appendBatch(nil, &b); len(message) > 0 {
			w.writeControl(message)
		}
	}
}

// Heartbeat writes a heartbeat. If the peer has closed the connection, Heartbeat closes it instead.
func (w *Writer) Heartbeat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != stateOpen {
		return
	}
	if w.writing {
		w.pending().heartbeat = true
		return
	}
	if !w.isWatched() && w.conn.PeerClosed() {
		w.close()
		return
	}
	w.flushPending()
	switch {
	case w.state == stateClosed:
	case w.writing || w.sub.Behind():
		w.pending().heartbeat = true
		w.startDrain()
	default:
		w.writeControl(w.heartbeat())
	}
}

// heartbeat returns a heartbeat with the subscription's position.
func (w *Writer) heartbeat() []byte {
	return w.cfg.Codec.AppendMessage(nil, wire.Message{Op: wire.OpHeartbeat, ID: w.sub.Cursor()})
}

// Abort is like Close, but also counts the connection in Counters.ClosedAtDeadline if the end of its
// stream was not written.
func (w *Writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state < stateEnded {
		w.cfg.Counters.ClosedAtDeadline.Add(1)
		w.record.replaceReason(closedAtDeadline)
	}
	w.close()
}

// Close closes the connection and its subscription. It may be called more than once.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close()
}

func (w *Writer) close() {
	if w.state == stateClosed {
		return
	}
	if w.end != nil && w.end.closeTimer != nil {
		w.end.closeTimer.Stop()
	}
	if w.state != stateEnded {
		w.end = nil
	}
	w.state = stateClosed
	w.dropPending()
	w.stopWatch()
	w.conn.Close()
	w.sub.Close()
	w.session.Release(w)
	w.cfg.Registry.remove(w)
	w.cfg.Counters.Connections.Add(-1)
	w.record.Close()
	w.signalStateChange()
}

// Wait blocks until the connection is closed and no goroutine writes to it.
func (w *Writer) Wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.state != stateClosed || w.writing {
		w.waitStateChange()
	}
}
