package connection

import (
	"bytes"
	"errors"
	"sync"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

// maxChunk is the maximum number of bytes that are copied for one connection at a time. A larger encoding
// is shared with other connections instead. If that is not possible, the event is encoded again for each
// chunk.
const maxChunk = 64 << 10

// maxRest is the size, in bytes, up to which the unwritten rest of a large event is copied. Keeping the
// whole encoding for a small rest would waste memory.
const maxRest = 16 << 10

// Errors that end a connection if retention removed a large event while the EncodingCache had no
// memory for its encoding.
var (
	errRemovedWithin    = errors.New("retention removed an event while it was being written")
	errNoEncodingMemory = errors.New("no memory for the encoding of an event that retention removed")
)

var chunks = sync.Pool{New: func() any {
	b := make([]byte, 0, maxChunk)
	return &b
}}

// partialEvent is a large event that has been written in part. Its bytes are read from the shared
// encoding, or the event is encoded again.
type partialEvent struct {
	event    hub.Cursor
	offset   int             // number of bytes already written
	encoding *CachedEncoding // nil: the EncodingCache had no memory for it
	subject  string          // subject for which encoding is held
}

func (r *partialEvent) isSet() bool { return r.event != hub.Cursor{} }

// keepRest queues the rest of an event whose first offset bytes have been written. b is the whole
// encoding. mu must be held.
func (w *Writer) keepRest(id hub.Cursor, b []byte, offset int) {
	q := w.pending()
	switch {
	case len(b) <= maxChunk:
		q.tail = b[offset:]
	case len(b)-offset <= maxRest:
		q.tail = bytes.Clone(b[offset:])
	default:
		q.partial = partialEvent{event: id, offset: offset, subject: w.subject()}
		q.partial.encoding = w.cache().insert(encodingKey{id, w.cfg.Codec.Form()}, b, q.partial.subject)
	}
}

// dropPending discards all queued bytes and events. mu must be held.
func (w *Writer) dropPending() {
	if q := w.queued; q != nil && q.partial.encoding != nil {
		w.cache().Release(q.partial.encoding, q.partial.subject)
	}
	w.queued = nil
}

func (w *Writer) cache() *EncodingCache { return w.cfg.Registry.cache }

// subject returns the subject of the connection's grant. The connection uses this subject's share of
// the EncodingCache. mu must be held.
func (w *Writer) subject() string {
	if grant := w.session.Grant(); grant != nil {
		return grant.Subject
	}
	return ""
}

// areSmall reports whether the total size of the events is so small that they may be encoded with mu
// held.
func areSmall(events []*hub.Event) bool {
	size := 0
	for _, e := range events {
		size += len(e.Data)
	}
	return size <= smallData
}

// write writes a portion. After it has encoded an event, it keeps no reference to the event. Therefore a
// write that blocks within a large event keeps only the encoding in memory, not the event.
func (w *Writer) write(p *portion) error {
	if p.partial.isSet() {
		return w.writePartial(p.partial)
	}
	if len(p.events) == 0 {
		return w.writeAll(p.bytes)
	}
	c := chunk{out: w}
	defer c.free()
	if err := c.append(p.bytes); err != nil {
		return err
	}
	for i, e := range p.events {
		p.events[i] = nil
		id := e.ID
		if err := w.writeEvent(&c, e, p.subject); err != nil {
			return err
		}
		p.position = id
	}
	return c.flush()
}

// writeEvent appends an event to the chunk. If the encoding is larger than a chunk, it writes the chunk
// and then the event.
func (w *Writer) writeEvent(c *chunk, e *hub.Event, subject string) error {
	codec := w.cfg.Codec
	if len(e.Data) <= smallData {
		w.countDelivered(1)
		return c.append(codec.Unwrap(w.cache().Encoded(e, codec)))
	}
	id := e.ID
	held, b := w.cache().Acquire(e, codec, subject)
	if len(b) > maxChunk {
		return w.writeLarge(c, partialEvent{event: id, encoding: held, subject: subject})
	}
	w.countDelivered(1)
	err := c.append(codec.Unwrap(b))
	if held != nil {
		w.cache().Release(held, subject)
	}
	return err
}

// writeLarge writes the chunk and then the event r. If r has a shared encoding, the event is not copied.
func (w *Writer) writeLarge(c *chunk, r partialEvent) error {
	err := c.flush()
	switch {
	case err != nil && r.encoding != nil:
		w.cache().Release(r.encoding, r.subject)
	case err == nil && r.encoding == nil && w.sub.Retained(r.event.Seq) == nil:
		err = errNoEncodingMemory
	}
	if err != nil {
		return err
	}
	w.countDelivered(1)
	return w.writePartial(r)
}

// writePartial writes a large event from r.offset to its end.
func (w *Writer) writePartial(r partialEvent) error {
	codec := w.cfg.Codec
	if r.encoding != nil {
		defer w.cache().Release(r.encoding, r.subject)
		return w.writeAll(codec.Unwrap(r.encoding.bytes)[r.offset:])
	}
	c := chunk{out: w}
	defer c.free()
	for {
		left, err := c.addPart(r)
		if err != nil {
			return err
		}
		r.offset += len(*c.buffer)
		if err := c.flush(); err != nil || left == 0 {
			return err
		}
	}
}

// chunk collects small messages for a single write. It takes its buffer from a pool, and returns the
// buffer after the write.
type chunk struct {
	out    *Writer
	buffer *[]byte // nil: empty
}

// append adds b to the chunk. If b does not fit, append first writes the chunk.
func (c *chunk) append(b []byte) error {
	if c.buffer != nil && len(*c.buffer)+len(b) > maxChunk {
		if err := c.flush(); err != nil {
			return err
		}
	}
	if len(b) > maxChunk {
		return c.out.writeAll(b)
	}
	c.add(b)
	return nil
}

func (c *chunk) add(b []byte) {
	if c.buffer == nil {
		c.buffer = chunks.Get().(*[]byte)
	}
	*c.buffer = append(*c.buffer, b...)
}

// addPart adds as much of the rest of an event as fits into the empty chunk. It returns the number of
// bytes that are left.
func (c *chunk) addPart(r partialEvent) (left int, err error) {
	o := c.out
	e := o.sub.Retained(r.event.Seq)
	if e == nil {
		return 0, errRemovedWithin
	}
	b := o.cfg.Codec.Unwrap(o.cache().Encode(e, o.cfg.Codec))[r.offset:]
	n := min(len(b), maxChunk)
	c.add(b[:n])
	return len(b) - n, nil
}

// flush writes the chunk.
func (c *chunk) flush() error {
	if c.buffer == nil {
		return nil
	}
	defer c.free()
	return c.out.writeAll(*c.buffer)
}

// free returns the buffer to the pool.
func (c *chunk) free() {
	if c.buffer != nil {
		*c.buffer = (*c.buffer)[:0]
		chunks.Put(c.buffer)
		c.buffer = nil
	}
}

// endForLackOfMemory ends the stream before a large event that was removed by retention, because the
// EncodingCache has no memory for the event's encoding. The client should resume from position, which is
// before the event. mu must be held.
func (w *Writer) endForLackOfMemory(position hub.Cursor) {
	if w.state >= stateEnded {
		return
	}
	w.cfg.Counters.NoEncodingMemory.Add(1)
	w.record.SetReason(ClosedNoMemory)
	if w.state == stateOpen {
		p := problems.Unavailable("too many slow subscribers read large events that are no longer in memory; resume later")
		w.setEnd(problemMessage(p))
	}
	w.end.at, w.end.cursor = 0, position.String()
}
