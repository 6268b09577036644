package connection

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
func (w *Writer) startDrain() {
	if w.writing || w.closed {
		return
	}
	w.writing = true
	w.cfg.Registry.Go(w.runDrain)
}

func (w *Writer) runDrain() {
	for {
		p, ok := w.nextPortion()
		if !ok {
			return
		}
		if err := w.write(&p); err != nil {
			w.handleWriteError(err, p.position)
		}
	}
}

// failed is called by the drain goroutine when a write has failed; all up to place was written.
func (w *Writer) handleWriteError(err error, place hub.Cursor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == errNoEncodingMemory {
		w.endForLackOfMemory(place)
	} else {
		w.closeOnError(err)
	}
}

// broken closes the connection after a write has failed. The kernel may have given up on the peer
// before the hub has.
func (w *Writer) closeOnError(err error) {
	if !w.closed && (errors.Is(err, ErrNoProgress) || errors.Is(err, syscall.ETIMEDOUT)) {
		w.cfg.Counters.WriteStalled.Add(1)
	}
	if !w.closed && err == errRemovedWithin {
		w.cfg.Counters.NoEncodingMemory.Add(1)
	}
	w.close()
}

// portion is what the drain goroutine writes before it asks again: in this order.
type portion struct {
	partial  partialEvent
	bytes    []byte
	events   []*hub.Event
	position hub.Cursor // before events
	subject  string     // of the grant
}

func (p *portion) isEmpty() bool {
	return !p.partial.isSet() && len(p.bytes) == 0 && len(p.events) == 0
}

// next returns what is to be written next. ok is false when the drain goroutine has to end.
func (w *Writer) nextPortion() (p portion, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed && !w.ended {
		p, readOn := w.collect()
		if !p.isEmpty() {
			p.subject = w.subject()
			return p, true
		}
		if !readOn {
			break
		}
		w.yieldToWorkers()
	}
	w.writing = false
	w.signalStateChange()
	if !w.ending {
		w.queued = nil // it is empty
	}
	if w.ended && (w.conn.End() || w.closeAfterEnd) {
		w.close()
	}
	return portion{}, false
}

// waitTurn lets others have the outlet until the drain goroutine may read on, after a read that found
// nothing: of events that few filters select many may have to be looked at, and a worker must not wait for
// that. Called with mu held.
func (w *Writer) yieldToWorkers() {
	w.mu.Unlock()
	end := w.sub.Turn()
	w.mu.Lock()
	end()
}

// collect takes the rest of a message, or else the messages and events that wait, and last the
// end of the stream. With readOn it has found nothing yet, and may.
func (w *Writer) collect() (p portion, readOn bool) {
	if q := w.queued; q != nil {
		switch {
		case q.partial.isSet():
			p.partial, q.partial = q.partial, partialEvent{}
			return p, false
		case len(q.tail) > 0:
			p.bytes, q.tail = q.tail, nil
			return p, false
		case !q.batch.isEmpty():
			p, q.batch = q.batch, portion{}
			return p, false
		case len(q.control) > 0:
			p.bytes, q.control = q.control, nil
			w.signalStateChange()
		}
	}
	for len(p.bytes) == 0 {
		if w.ending && (w.queued.endAt == 0 || w.sub.Reached(w.queued.endAt)) {
			w.ended, w.endedForGood = true, w.queued.end.forGood
			p.bytes = w.queued.end.final(cmp.Or(w.queued.endCursor, w.sub.Place()))
			return p, false
		}
		place := w.sub.Position()
		b := w.sub.Read(chunkLimit)
		if w.endIfFellBehind(&b) {
			continue
		}
		p = w.portionOf(place, &b)
		switch {
		case !p.isEmpty():
			return p, false
		case b.More:
			return p, true
		}
		if w.heartbeatDue && !w.ending {
			w.heartbeatDue = false
			p.bytes = w.cfg.Codec.AppendHeartbeat(nil, w.sub.Place())
			return p, false
		}
		if !w.ending || b.Waiting {
			return p, false
		}
		w.queued.endAt = 0 // there is nothing that it could wait for
	}
	return p, false
}

// portionOf returns what a batch has that was read from place on.
func (w *Writer) portionOf(place hub.Cursor, b *hub.Batch) portion {
	p := portion{events: b.Events, position: place}
	if b.Gap != nil {
		p.bytes, p.position = w.cfg.Codec.AppendGap(nil, b.Gap), b.Gap.ResumedAt
	}
	return p
}

// tooSlow decides, where it is configured so, that a subscriber which retention has overtaken is
// told and sent away; the batch is not for it any more.
func (w *Writer) endIfFellBehind(b *hub.Batch) bool {
	if !b.Overtaken || !w.cfg.Disconnect || w.ending {
		return false
	}
	w.cfg.Counters.FellBehind.Add(1)
	q := w.pending()
	// The read has moved the position past the gap, of which the subscriber is told when it resumes.
	w.ending, q.end, q.endCursor = true, w.problemEnding(wire.TooSlow()), b.Gap.After
	return true
}

// append formats a batch whose events are cheap to encode.
func (w *Writer) appendBatch(dst []byte, b *hub.Batch) []byte {
	if b.Gap != nil {
		dst = w.cfg.Codec.AppendGap(dst, b.Gap)
	}
	for _, e := range b.Events {
		dst = append(dst, w.cfg.Codec.Unwrap(e.Form(w.cfg.Codec.Form(), w.cfg.Codec.Encode))...)
	}
	w.cfg.Counters.Delivered.Add(uint64(len(b.Events)))
	return dst
}
