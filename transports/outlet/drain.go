package outlet

import (
	"cmp"
	"errors"
	"syscall"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// chunkLimit bounds what the drain goroutine takes at a time. Events taken are in memory until
// they are written, whatever retention does.
var chunkLimit = hub.ReadLimit{Events: 1024, Bytes: 64 << 10}

// drain starts the drain goroutine unless it runs. It writes with deadlines, and ends when all
// that there is to write has been.
func (o *Outlet) drain() {
	if o.busy || o.closed {
		return
	}
	o.busy = true
	o.cfg.Group.Go(o.runDrain)
}

func (o *Outlet) runDrain() {
	for {
		p, ok := o.next()
		if !ok {
			return
		}
		if err := o.write(&p); err != nil {
			o.failed(err, p.place)
		}
	}
}

// failed is called by the drain goroutine when a write has failed; all up to place was written.
func (o *Outlet) failed(err error, place hub.Cursor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == errNoRoom {
		o.noRoom(place)
	} else {
		o.broken(err)
	}
}

// broken closes the connection after a write has failed. The kernel may have given up on the peer
// before the hub has.
func (o *Outlet) broken(err error) {
	if !o.closed && (errors.Is(err, ErrNoProgress) || errors.Is(err, syscall.ETIMEDOUT)) {
		o.cfg.Counters.Stuck.Add(1)
	}
	if !o.closed && err == errRemovedWithin {
		o.cfg.Counters.NoRoom.Add(1)
	}
	o.close()
}

// portion is what the drain goroutine writes before it asks again: in this order.
type portion struct {
	rest    rest
	bytes   []byte
	events  []*hub.Event
	place   hub.Cursor // before events
	subject string     // of the grant
}

func (p *portion) isEmpty() bool {
	return !p.rest.isLeft() && len(p.bytes) == 0 && len(p.events) == 0
}

// next returns what is to be written next. ok is false when the drain goroutine has to end.
func (o *Outlet) next() (p portion, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed && !o.ended {
		p, readOn := o.collect()
		if !p.isEmpty() {
			p.subject = o.subject()
			return p, true
		}
		if !readOn {
			break
		}
		o.waitTurn()
	}
	o.busy = false
	o.changed()
	if !o.ending {
		o.waiting = nil // it is empty
	}
	if o.ended && (o.conn.End() || o.hangup) {
		o.close()
	}
	return portion{}, false
}

// waitTurn lets others have the outlet until the drain goroutine may read on, after a read that found
// nothing: of events that few filters select many may have to be looked at, and a worker must not wait for
// that. Called with mu held.
func (o *Outlet) waitTurn() {
	o.mu.Unlock()
	end := o.sub.Turn()
	o.mu.Lock()
	end()
}

// collect takes the rest of a message, or else the messages and events that wait, and last the
// end of the stream. With readOn it has found nothing yet, and may.
func (o *Outlet) collect() (p portion, readOn bool) {
	if w := o.waiting; w != nil {
		switch {
		case w.rest.isLeft():
			p.rest, w.rest = w.rest, rest{}
			return p, false
		case len(w.tail) > 0:
			p.bytes, w.tail = w.tail, nil
			return p, false
		case !w.batch.isEmpty():
			p, w.batch = w.batch, portion{}
			return p, false
		case len(w.control) > 0:
			p.bytes, w.control = w.control, nil
			o.changed()
		}
	}
	for len(p.bytes) == 0 {
		if o.ending && (o.waiting.endAt == 0 || o.sub.Reached(o.waiting.endAt)) {
			o.ended, o.over = true, o.waiting.end.over
			p.bytes = o.waiting.end.final(cmp.Or(o.waiting.place, o.sub.Place()))
			return p, false
		}
		place := o.sub.Position()
		b := o.sub.Read(chunkLimit)
		if o.tooSlow(&b) {
			continue
		}
		p = o.portionOf(place, &b)
		switch {
		case !p.isEmpty():
			return p, false
		case b.More:
			return p, true
		}
		if o.beat && !o.ending {
			o.beat = false
			p.bytes = o.cfg.Codec.AppendHeartbeat(nil, o.sub.Place())
			return p, false
		}
		if !o.ending || b.Waiting {
			return p, false
		}
		o.waiting.endAt = 0 // there is nothing that it could wait for
	}
	return p, false
}

// portionOf returns what a batch has that was read from place on.
func (o *Outlet) portionOf(place hub.Cursor, b *hub.Batch) portion {
	p := portion{events: b.Events, place: place}
	if b.Gap != nil {
		p.bytes, p.place = o.cfg.Codec.AppendGap(nil, b.Gap), b.Gap.ResumedAt
	}
	return p
}

// tooSlow decides, where it is configured so, that a subscriber which retention has overtaken is
// told and sent away; the batch is not for it any more.
func (o *Outlet) tooSlow(b *hub.Batch) bool {
	if !b.Overtaken || !o.cfg.Disconnect || o.ending {
		return false
	}
	o.cfg.Counters.Overtaken.Add(1)
	w := o.later()
	// The read has moved the position past the gap, of which the subscriber is told when it resumes.
	o.ending, w.end, w.place = true, o.failure(wire.TooSlow()), b.Gap.After
	return true
}

// append formats a batch whose events are cheap to encode.
func (o *Outlet) append(dst []byte, b *hub.Batch) []byte {
	if b.Gap != nil {
		dst = o.cfg.Codec.AppendGap(dst, b.Gap)
	}
	for _, e := range b.Events {
		dst = append(dst, o.cfg.Codec.Unwrap(e.Form(o.cfg.Codec.Form(), o.cfg.Codec.Encode))...)
	}
	o.cfg.Counters.Delivered.Add(uint64(len(b.Events)))
	return dst
}
