package outlet

import (
	"cmp"
	"errors"
	"sync"
	"syscall"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// chunkLimit bounds what the drain goroutine takes at a time. Events taken are in memory until
// they are written, whatever retention does.
var chunkLimit = hub.ReadLimit{Events: 1024, Bytes: 64 << 10}

// maxPooledChunk keeps the buffer of one huge event from staying.
const maxPooledChunk = 256 << 10

var chunks = sync.Pool{New: func() any { return new([]byte) }}

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
	buffer := chunks.Get().(*[]byte)
	defer func() {
		if cap(*buffer) <= maxPooledChunk {
			chunks.Put(buffer)
		}
	}()
	for {
		chunk, ok := o.next((*buffer)[:0])
		if !ok {
			return
		}
		err := o.conn.Write(chunk, o.cfg.WriteTimeout)
		*buffer = chunk
		if err != nil {
			o.mu.Lock()
			o.broken(err)
			o.mu.Unlock()
		}
	}
}

// broken closes the connection after a write has failed. The kernel may have given up on the peer
// before the hub has.
func (o *Outlet) broken(err error) {
	if !o.closed && (errors.Is(err, ErrNoProgress) || errors.Is(err, syscall.ETIMEDOUT)) {
		o.cfg.Counters.Stuck.Add(1)
	}
	o.close()
}

// next gives what is to be written next. ok is false when the drain goroutine has to end.
func (o *Outlet) next(buffer []byte) (chunk []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed && !o.ended {
		chunk, readOn := o.collect(buffer)
		if len(chunk) > 0 {
			return chunk, true
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
	return nil, false
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
func (o *Outlet) collect(chunk []byte) (_ []byte, readOn bool) {
	if w := o.waiting; w != nil && len(w.tail) > 0 {
		chunk = append(chunk, w.tail...)
		w.tail = nil
		return chunk, false
	}
	if w := o.waiting; w != nil && len(w.control) > 0 {
		chunk = append(chunk, w.control...)
		w.control = nil
		o.changed()
	}
	for len(chunk) == 0 {
		if o.ending && (o.waiting.endAt == 0 || o.sub.Reached(o.waiting.endAt)) {
			o.ended, o.over = true, o.waiting.end.over
			return append(chunk, o.waiting.end.final(cmp.Or(o.waiting.place, o.sub.Place()))...), false
		}
		b := o.sub.Read(chunkLimit)
		if o.tooSlow(&b) {
			continue
		}
		chunk = o.append(chunk, &b)
		switch {
		case len(chunk) > 0:
			continue
		case b.More:
			return chunk, true
		}
		if o.beat && !o.ending {
			o.beat = false
			return o.cfg.Codec.AppendHeartbeat(chunk, o.sub.Place()), false
		}
		if !o.ending || b.Waiting {
			return chunk, false
		}
		o.waiting.endAt = 0 // there is nothing that it could wait for
	}
	return chunk, false
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

// append spells a batch.
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
