package connection

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Codec spells the hub's events and control messages for one transport. Each append gives whole
// messages; the ones that end a stream have what the transport's end needs (a close frame, a
// last chunk) in them.
type Codec interface {
	Format
	// Unwrap gives the part of Encode's bytes that goes on the connection. A Conn that writes
	// directly gets all of them.
	Unwrap([]byte) []byte
	AppendHeartbeat(dst []byte, id string) []byte
	AppendGap(dst []byte, g *hub.Gap) []byte
	// AppendError and AppendGoaway end the stream; id is the position of the subscriber.
	AppendError(dst []byte, id string, p *wire.Problem) []byte
	AppendGoaway(dst []byte, id string, retry time.Duration) []byte
}

// Config is what an Outlet is made of. All is static.
type Config struct {
	Codec        Codec
	Counters     *Counters
	Registry     *Registry
	WriteTimeout time.Duration // without progress, then the connection is closed
	// Disconnect ends a subscriber that retention has overtaken, instead of telling it the gap.
	Disconnect bool
}

// Counters count what the outlets of one transport did.
type Counters struct {
	Connections      atomic.Int64  // now
	Delivered        atomic.Uint64 // events written, or left to the kernel in part
	FellBehind       atomic.Uint64 // disconnected because retention had overtaken them
	WriteStalled     atomic.Uint64 // closed because no write made progress
	ClosedAtDeadline atomic.Uint64 // closed at the end of a drain with something unsaid
	Unauthorized     atomic.Uint64 // ended because the token was, or had lost the right
	// NoRoom counts those closed within or before a large event that retention had removed, and for
	// whose encoding Encodings had no room.
	NoEncodingMemory atomic.Uint64
}

// Outlet owns the write side of one connection after its handshake, and the position of its
// subscription with it. It is a hub.Sink, a hub.Holder and a member of its Group.
type Writer struct {
	// static after Start

	cfg  *Config
	sub  *hub.Subscription
	conn Conn

	slot, index int32 // among the members of the group; guarded by Group.mu

	mu           sync.Mutex
	stateChanged *sync.Cond // of mu: busy or closed has changed; nil: nobody has waited for it

	// guarded by mu

	session TokenSession // nil before Start
	queued  *pending
	watch   watch // of conn, for something to read or for the peer's end
	// busy means that somebody else writes: the drain goroutine, or nobody before Start. Who
	// finds it so leaves what there is to say for later.
	writing       bool
	heartbeatDue  bool // a heartbeat is due once all is written
	ending        bool // waiting.end is to be written when the position is at endAt, and nothing after it
	ended         bool // the end is out, or is being written
	endedForGood  bool // and it was one for good
	closeAfterEnd bool // close when the end is out
	closed        bool
}

// waiting is what waits to be written, but for events. Most connections have nothing most of the
// time, and then not this either.
type pending struct {
	control    []byte       // whole messages to be written before the next event
	tail       []byte       // the rest of what was written in part; before control
	partial    partialEvent // of a large event, in place of tail
	batch      portion      // read, and to be written before control
	end        ending
	endCursor  string // of the end; "": the subscription's
	endAt      uint64
	closeTimer *time.Timer // closes, where the end must not take long
}

// New makes the outlet; it is a Sink that leaves everything for later until Start.
func New() *Writer { return &Writer{writing: true} }

// later gives the place for what cannot be written now.
func (w *Writer) pending() *pending {
	if w.queued == nil {
		w.queued = new(pending)
	}
	return w.queued
}

// await waits for busy or closed to change.
func (w *Writer) waitStateChange() {
	if w.stateChanged == nil {
		w.stateChanged = sync.NewCond(&w.mu)
	}
	w.stateChanged.Wait()
}

// changed is called when busy or closed has.
func (w *Writer) signalStateChange() {
	if w.stateChanged != nil {
		w.stateChanged.Broadcast()
	}
}

// Start begins to write: first opening, then what the subscription has. The lease is held already.
// It reports false if the group takes no more members; then the connection is still the caller's.
// The outlet closes sub and conn, and releases the lease, when it is closed.
func (w *Writer) Start(cfg *Config, lease TokenSession, sub *hub.Subscription, conn Conn, opening []byte) bool {
	// Who kills all members must not find one that is half begun.
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg, w.sub, w.conn = cfg, sub, conn
	if !w.cfg.Registry.add(w) {
		return false
	}
	w.cfg.Counters.Connections.Add(1)
	w.session, w.writing = lease, false
	w.writeControl(opening)
	w.checkRights() // it may have changed since it was looked at
	if sub.Behind() {
		w.startDrain()
	}
	if !w.closed {
		w.startWatch(conn, nil)
	}
	return true
}

// Ready implements hub.Sink: it writes what it can of the round without waiting.
func (w *Writer) Ready(r *hub.Round) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing || w.closed || w.ended {
		return
	}
	start, ok := w.sub.Take(r)
	if !ok {
		w.startDrain()
		return
	}
	form, encode := w.cfg.Codec.Form(), w.cfg.Codec.Encode
	for start < len(r.Events) {
		b, end := r.Join(form, encode, start)
		n, err := w.conn.TryWrite(b)
		if err != nil {
			w.closeOnError(err)
			return
		}
		if n < len(b) {
			w.advancePast(r.Events[start:end], b, n)
			w.startDrain()
			return
		}
		w.sub.Skip(r.Events[end-1].ID.Seq)
		w.cfg.Counters.Delivered.Add(uint64(end - start))
		start = end
	}
	w.sub.Skip(r.To)
}

// wroteOf moves the position past the events of whose bytes the first n were written; of the one
// that was cut the rest is left for later. What was not begun is read from the window later.
func (w *Writer) advancePast(events []*hub.Event, joined []byte, n int) {
	for _, e := range events {
		if n == 0 {
			return
		}
		b := joined
		if len(events) > 1 {
			b = e.Form(w.cfg.Codec.Form(), w.cfg.Codec.Encode)
		}
		w.sub.Skip(e.ID.Seq)
		w.cfg.Counters.Delivered.Add(1)
		if n < len(b) {
			w.keepRest(e.ID, b, n)
			return
		}
		n -= len(b)
	}
}

// say writes a message, now if nobody writes, else before the next event.
func (w *Writer) writeControl(message []byte) {
	if w.closed {
		return
	}
	if w.writing {
		q := w.pending()
		q.control = append(q.control, message...)
		return
	}
	n, err := w.conn.TryWrite(message)
	switch {
	case err != nil:
		w.closeOnError(err)
	case n < len(message):
		w.pending().tail = message[n:]
		w.startDrain()
	}
}

// maxControl bounds the messages that wait; a peer that asks for more has to read first.
const maxControlQueue = 16 << 10 // bytes

func (w *Writer) controlQueueFull() bool {
	return w.queued != nil && len(w.queued.control) > maxControlQueue
}

// Send writes one whole message between events. While more than 16 KiB of messages wait it
// waits too, so it is for the connection's reader alone. After the end it does nothing.
func (w *Writer) WriteControl(message []byte) {
	w.Update(func(*hub.Subscription) []byte { return message })
}

// Offer is Send for a message that need not be: where Send would wait it is left out.
func (w *Writer) TryWriteControl(message []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && !w.ending && !w.controlQueueFull() {
		w.writeControl(message)
	}
}

// Do calls change with the subscription at a moment when its position is exact, and writes the
// message that change returns, if any, before any event that follows that position. It waits as
// Send does.
func (w *Writer) Update(change func(*hub.Subscription) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.controlQueueFull() && !w.closed {
		w.waitStateChange()
	}
	if w.closed || w.ending {
		return
	}
	if w.flushPending(); w.closed || w.ending {
		return
	}
	if message := change(w.sub); len(message) > 0 {
		w.writeControl(message)
	}
	if !w.writing && !w.closed && w.sub.Behind() {
		w.startDrain()
	}
}

// catchUp reads what waits, so that the position is that of the newest event. The events go
// before whatever is said next. While somebody writes, the position is what has been read.
func (w *Writer) flushPending() {
	if w.writing {
		return
	}
	place := w.sub.Position()
	b := w.sub.Read(chunkLimit)
	switch {
	case w.endIfFellBehind(&b):
		w.startDrain()
	case !areSmall(b.Events):
		w.pending().batch = w.portionOf(place, &b)
		w.startDrain()
	default:
		if message := w.appendBatch(nil, &b); len(message) > 0 {
			w.writeControl(message)
		}
	}
}

// Beat writes a heartbeat, and notices a peer that has gone.
func (w *Writer) Heartbeat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.ending {
		return
	}
	if w.writing {
		w.heartbeatDue = true
		return
	}
	if !w.isWatched() && w.conn.PeerClosed() {
		w.close()
		return
	}
	w.flushPending()
	switch {
	case w.closed:
	case w.writing || w.sub.Behind():
		w.heartbeatDue = true
		w.startDrain()
	default:
		w.writeControl(w.cfg.Codec.AppendHeartbeat(nil, w.sub.Place()))
	}
}

// Kill is Close that counts what was left unsaid.
func (w *Writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && !w.ended {
		w.cfg.Counters.ClosedAtDeadline.Add(1)
	}
	w.close()
}

// Close cuts the connection and ends the subscription. It may be called more than once.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close()
}

func (w *Writer) close() {
	if w.closed {
		return
	}
	w.closed = true
	if q := w.queued; q != nil && q.closeTimer != nil {
		q.closeTimer.Stop()
	}
	w.dropPending()
	w.stopWatch()
	w.conn.Close()
	w.sub.Close()
	w.session.Release(w)
	w.cfg.Registry.remove(w)
	w.cfg.Counters.Connections.Add(-1)
	w.signalStateChange()
}

// Wait waits until the outlet is closed and nobody writes any more.
func (w *Writer) Wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed || w.writing {
		w.waitStateChange()
	}
}

// Ending reports that the end of the stream has been decided, whether or not it is out.
func (w *Writer) IsEnding() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ending || w.closed
}
