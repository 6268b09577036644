package outlet

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
	Group        *Group
	WriteTimeout time.Duration // without progress, then the connection is closed
	// Disconnect ends a subscriber that retention has overtaken, instead of telling it the gap.
	Disconnect bool
}

// Counters count what the outlets of one transport did.
type Counters struct {
	Connections atomic.Int64  // now
	Delivered   atomic.Uint64 // events written, or left to the kernel in part
	Overtaken   atomic.Uint64 // disconnected because retention had overtaken them
	Stuck       atomic.Uint64 // closed because no write made progress
	Cut         atomic.Uint64 // closed at the end of a drain with something unsaid
	Expelled    atomic.Uint64 // ended because the token was, or had lost the right
	// NoRoom counts those closed within or before a large event that retention had removed, and for
	// whose encoding Encodings had no room.
	NoRoom atomic.Uint64
}

// Outlet owns the write side of one connection after its handshake, and the position of its
// subscription with it. It is a hub.Sink, a hub.Holder and a member of its Group.
type Outlet struct {
	// static after Start

	cfg  *Config
	sub  *hub.Subscription
	conn Conn

	slot, index int32 // among the members of the group; guarded by Group.mu

	mu   sync.Mutex
	idle *sync.Cond // of mu: busy or closed has changed; nil: nobody has waited for it

	// guarded by mu

	lease   Lease // nil before Start
	waiting *waiting
	watch   watch // of conn, for something to read or for the peer's end
	// busy means that somebody else writes: the drain goroutine, or nobody before Start. Who
	// finds it so leaves what there is to say for later.
	busy   bool
	beat   bool // a heartbeat is due once all is written
	ending bool // waiting.end is to be written when the position is at endAt, and nothing after it
	ended  bool // the end is out, or is being written
	over   bool // and it was one for good
	hangup bool // close when the end is out
	closed bool
}

// waiting is what waits to be written, but for events. Most connections have nothing most of the
// time, and then not this either.
type waiting struct {
	control  []byte  // whole messages to be written before the next event
	tail     []byte  // the rest of what was written in part; before control
	rest     rest    // of a large event, in place of tail
	batch    portion // read, and to be written before control
	end      ending
	place    string // of the end; "": the subscription's
	endAt    uint64
	expelled *time.Timer // closes, where the end must not take long
}

// New makes the outlet; it is a Sink that leaves everything for later until Start.
func New() *Outlet { return &Outlet{busy: true} }

// later gives the place for what cannot be written now.
func (o *Outlet) later() *waiting {
	if o.waiting == nil {
		o.waiting = new(waiting)
	}
	return o.waiting
}

// await waits for busy or closed to change.
func (o *Outlet) await() {
	if o.idle == nil {
		o.idle = sync.NewCond(&o.mu)
	}
	o.idle.Wait()
}

// changed is called when busy or closed has.
func (o *Outlet) changed() {
	if o.idle != nil {
		o.idle.Broadcast()
	}
}

// Start begins to write: first opening, then what the subscription has. The lease is held already.
// It reports false if the group takes no more members; then the connection is still the caller's.
// The outlet closes sub and conn, and releases the lease, when it is closed.
func (o *Outlet) Start(cfg *Config, lease Lease, sub *hub.Subscription, conn Conn, opening []byte) bool {
	// Who kills all members must not find one that is half begun.
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cfg, o.sub, o.conn = cfg, sub, conn
	if !o.cfg.Group.join(o) {
		return false
	}
	o.cfg.Counters.Connections.Add(1)
	o.lease, o.busy = lease, false
	o.say(opening)
	o.revise() // it may have changed since it was looked at
	if sub.Behind() {
		o.drain()
	}
	if !o.closed {
		o.beginWatch(conn, nil)
	}
	return true
}

// Ready implements hub.Sink: it writes what it can of the round without waiting.
func (o *Outlet) Ready(r *hub.Round) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.busy || o.closed || o.ended {
		return
	}
	start, ok := o.sub.Take(r)
	if !ok {
		o.drain()
		return
	}
	form, encode := o.cfg.Codec.Form(), o.cfg.Codec.Encode
	for start < len(r.Events) {
		b, end := r.Join(form, encode, start)
		n, err := o.conn.TryWrite(b)
		if err != nil {
			o.broken(err)
			return
		}
		if n < len(b) {
			o.wroteOf(r.Events[start:end], b, n)
			o.drain()
			return
		}
		o.sub.Skip(r.Events[end-1].ID.Seq)
		o.cfg.Counters.Delivered.Add(uint64(end - start))
		start = end
	}
	o.sub.Skip(r.To)
}

// wroteOf moves the position past the events of whose bytes the first n were written; of the one
// that was cut the rest is left for later. What was not begun is read from the window later.
func (o *Outlet) wroteOf(events []*hub.Event, joined []byte, n int) {
	for _, e := range events {
		if n == 0 {
			return
		}
		b := joined
		if len(events) > 1 {
			b = e.Form(o.cfg.Codec.Form(), o.cfg.Codec.Encode)
		}
		o.sub.Skip(e.ID.Seq)
		o.cfg.Counters.Delivered.Add(1)
		if n < len(b) {
			o.leave(e.ID, b, n)
			return
		}
		n -= len(b)
	}
}

// say writes a message, now if nobody writes, else before the next event.
func (o *Outlet) say(message []byte) {
	if o.closed {
		return
	}
	if o.busy {
		w := o.later()
		w.control = append(w.control, message...)
		return
	}
	n, err := o.conn.TryWrite(message)
	switch {
	case err != nil:
		o.broken(err)
	case n < len(message):
		o.later().tail = message[n:]
		o.drain()
	}
}

// maxControl bounds the messages that wait; a peer that asks for more has to read first.
const maxControl = 16 << 10 // bytes

func (o *Outlet) crowded() bool { return o.waiting != nil && len(o.waiting.control) > maxControl }

// Send writes one whole message between events. While more than 16 KiB of messages wait it
// waits too, so it is for the connection's reader alone. After the end it does nothing.
func (o *Outlet) Send(message []byte) {
	o.Do(func(*hub.Subscription) []byte { return message })
}

// Offer is Send for a message that need not be: where Send would wait it is left out.
func (o *Outlet) Offer(message []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed && !o.ending && !o.crowded() {
		o.say(message)
	}
}

// Do calls change with the subscription at a moment when its position is exact, and writes the
// message that change returns, if any, before any event that follows that position. It waits as
// Send does.
func (o *Outlet) Do(change func(*hub.Subscription) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.crowded() && !o.closed {
		o.await()
	}
	if o.closed || o.ending {
		return
	}
	if o.catchUp(); o.closed || o.ending {
		return
	}
	if message := change(o.sub); len(message) > 0 {
		o.say(message)
	}
	if !o.busy && !o.closed && o.sub.Behind() {
		o.drain()
	}
}

// catchUp reads what waits, so that the position is that of the newest event. The events go
// before whatever is said next. While somebody writes, the position is what has been read.
func (o *Outlet) catchUp() {
	if o.busy {
		return
	}
	place := o.sub.Position()
	b := o.sub.Read(chunkLimit)
	switch {
	case o.tooSlow(&b):
		o.drain()
	case !isCheap(b.Events):
		o.later().batch = o.portionOf(place, &b)
		o.drain()
	default:
		if message := o.append(nil, &b); len(message) > 0 {
			o.say(message)
		}
	}
}

// Beat writes a heartbeat, and notices a peer that has gone.
func (o *Outlet) Beat() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.ending {
		return
	}
	if o.busy {
		o.beat = true
		return
	}
	if !o.isWatched() && o.conn.Gone() {
		o.close()
		return
	}
	o.catchUp()
	switch {
	case o.closed:
	case o.busy || o.sub.Behind():
		o.beat = true
		o.drain()
	default:
		o.say(o.cfg.Codec.AppendHeartbeat(nil, o.sub.Place()))
	}
}

// Kill is Close that counts what was left unsaid.
func (o *Outlet) Kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed && !o.ended {
		o.cfg.Counters.Cut.Add(1)
	}
	o.close()
}

// Close cuts the connection and ends the subscription. It may be called more than once.
func (o *Outlet) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.close()
}

func (o *Outlet) close() {
	if o.closed {
		return
	}
	o.closed = true
	if w := o.waiting; w != nil && w.expelled != nil {
		w.expelled.Stop()
	}
	o.forget()
	o.endWatch()
	o.conn.Close()
	o.sub.Close()
	o.lease.Release(o)
	o.cfg.Group.leave(o)
	o.cfg.Counters.Connections.Add(-1)
	o.changed()
}

// Wait waits until the outlet is closed and nobody writes any more.
func (o *Outlet) Wait() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed || o.busy {
		o.await()
	}
}

// Ending reports that the end of the stream has been decided, whether or not it is out.
func (o *Outlet) Ending() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ending || o.closed
}
