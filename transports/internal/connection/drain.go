package connection

import (
	"errors"
	"syscall"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// chunkLimit limits how much the drain goroutine reads from the hub at a time. The events read stay in
// memory until they are written, even if retention removes them from the log.
var chunkLimit = hub.ReadLimit{Events: 1024, Bytes: 64 << 10}

// startDrain starts the drain goroutine, unless another goroutine is writing. The drain goroutine
// ends when there is nothing left to write.
func (w *Writer) startDrain() {
	if w.writing || w.state == stateClosed {
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

// handleWriteError ends the connection after a write of the drain goroutine failed. position is the
// position of the last event that was written.
func (w *Writer) handleWriteError(err error, position hub.Cursor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == errNoEncodingMemory {
		w.endForLackOfMemory(position)
	} else {
		w.closeOnError(err)
	}
}

// closeOnError closes the connection after a failed write. ETIMEDOUT means that TCP_USER_TIMEOUT, the
// kernel's limit for a peer that acknowledges nothing, has expired.
func (w *Writer) closeOnError(err error) {
	if w.state != stateClosed && (errors.Is(err, ErrNoProgress) || errors.Is(err, syscall.ETIMEDOUT)) {
		w.cfg.Counters.WriteStalled.Add(1)
		w.record.SetReason(closedStuck)
	}
	if w.state != stateClosed && err == errRemovedWithin {
		w.cfg.Counters.NoEncodingMemory.Add(1)
		w.record.SetReason(ClosedNoMemory)
	}
	w.close()
}

// portion holds the data that the drain goroutine writes in one step: first partial, then bytes, then
// events.
type portion struct {
	partial  partialEvent
	bytes    []byte
	events   []*hub.Event
	position hub.Cursor // position of the subscription before events
	subject  string     // subject of the connection's grant; its share of the EncodingCache is used
}

func (p *portion) isEmpty() bool {
	return !p.partial.isSet() && len(p.bytes) == 0 && len(p.events) == 0
}

// nextPortion returns the next portion to write. It returns an empty portion if the connection has
// accepted bytes that it has not sent yet, and nothing else is left: the write of an empty portion sends
// these bytes. ok is false if the drain goroutine must end.
func (w *Writer) nextPortion() (p portion, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.state < stateEnded {
		p, readMore := w.collect()
		if !p.isEmpty() {
			p.subject = w.subject()
			return p, true
		}
		if !readMore {
			break
		}
		w.yieldToWorkers()
	}
	if w.state < stateEnded && w.conn.Buffered() {
		return portion{}, true
	}
	w.writing = false
	w.signalStateChange()
	w.queued = nil // collect has returned everything in it
	if w.state == stateEnded && (w.conn.End() || w.end.thenClose) {
		w.close()
	}
	return portion{}, false
}

// yieldToWorkers releases mu until the drain goroutine may read again, and then locks it again. If the
// events of a subscriber are rare, many reads return no event, and fan-out workers must not wait until
// all these reads are done. mu must be held.
func (w *Writer) yieldToWorkers() {
	w.mu.Unlock()
	end := w.sub.WaitTurn()
	w.mu.Lock()
	end()
}

// collect returns the next portion to write. In order of precedence, this is: the rest of an event or
// message that was written in part, queued messages, events, a heartbeat, the end of the stream.
// readMore reports whether the caller must call collect again, because the read of events has found
// none so far and has not reached the newest event.
func (w *Writer) collect() (p portion, readMore bool) {
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
		if w.state == stateEnding && (w.end.at == 0 || w.sub.Reached(w.end.at)) {
			w.state, p.bytes = stateEnded, w.lastBytes()
			return p, false
		}
		position := w.sub.Position()
		b := w.sub.Read(chunkLimit)
		if w.endIfFellBehind(&b) {
			continue
		}
		p = w.portionOf(position, &b)
		switch {
		case !p.isEmpty():
			return p, false
		case b.More:
			return p, true
		}
		if q := w.queued; q != nil && q.heartbeat && w.state == stateOpen {
			q.heartbeat = false
			p.bytes = w.heartbeat()
			return p, false
		}
		if w.state == stateOpen || b.Waiting {
			return p, false
		}
		w.end.at = 0 // there are no more events, so write the end of the stream now
	}
	return p, false
}

// portionOf returns the portion for a batch. position is the position of the subscription before the
// batch was read.
func (w *Writer) portionOf(position hub.Cursor, b *hub.ReadResult) portion {
	p := portion{events: b.Events, position: position}
	if b.Gap != nil {
		p.bytes, p.position = w.cfg.Codec.AppendMessage(nil, wire.GapMessage(b.Gap)), b.Gap.ResumedAt
	}
	return p
}

// endIfFellBehind schedules the end of the stream if the subscriber fell behind retention and
// Config.Disconnect is set. It reports whether the caller must discard the batch.
func (w *Writer) endIfFellBehind(b *hub.ReadResult) bool {
	if !b.FellBehind || !w.cfg.Disconnect || w.state != stateOpen {
		return false
	}
	w.cfg.Counters.FellBehind.Add(1)
	w.record.SetReason(closedOvertaken)
	// The read has moved the position past the gap. The error message contains the position before the
	// gap, so that a client that resumes receives the gap.
	w.setEnd(problemMessage(problems.TooSlow())).cursor = b.Gap.After
	return true
}

// appendBatch appends the encoding of a batch. The events of the batch must be small, see areSmall.
func (w *Writer) appendBatch(dst []byte, b *hub.ReadResult) []byte {
	if b.Gap != nil {
		dst = w.cfg.Codec.AppendMessage(dst, wire.GapMessage(b.Gap))
	}
	for _, e := range b.Events {
		dst = append(dst, w.cfg.Codec.Unwrap(w.cache().Encoded(e, w.cfg.Codec))...)
	}
	w.countDelivered(len(b.Events))
	return dst
}
