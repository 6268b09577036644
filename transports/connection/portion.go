package connection

import (
	"bytes"
	"errors"
	"sync"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// maxChunk bounds what is copied for one connection. An event that is larger is written from the
// encoding that all connections share, or encoded again for each chunk of it.
const maxChunk = 64 << 10 // bytes

// maxRest is the rest of a large event up to which it is copied: so little need not keep the whole.
const maxRest = 16 << 10 // bytes

// Errors that end a connection whose large event has been removed while Encodings had no room for it.
var (
	errRemovedWithin    = errors.New("the event was removed while it was being written")
	errNoEncodingMemory = errors.New("no room for the encoding of a removed event")
)

var chunks = sync.Pool{New: func() any {
	b := make([]byte, 0, maxChunk)
	return &b
}}

// rest is what was not written of a large event. Its bytes are others' too, or made again.
type partialEvent struct {
	event    hub.Cursor
	offset   int             // bytes that were written
	encoding *CachedEncoding // nil: there was no room
	subject  string          // for which it is held
}

func (r *partialEvent) isSet() bool { return r.event != hub.Cursor{} }

// leave keeps what is left of an event that was written up to offset. Called with mu held.
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

// forget drops all that waits. Called with mu held.
func (w *Writer) dropPending() {
	if q := w.queued; q != nil && q.partial.encoding != nil {
		w.cache().Release(q.partial.encoding, q.partial.subject)
	}
	w.queued = nil
}

func (w *Writer) cache() *EncodingCache { return w.cfg.Registry.cache }

// subject returns whose share of Encodings the connection uses. Called with mu held.
func (w *Writer) subject() string {
	if grant := w.session.Grant(); grant != nil {
		return grant.Subject
	}
	return ""
}

// isCheap reports whether the events are quickly encoded, and then small together.
func areSmall(events []*hub.Event) bool {
	size := 0
	for _, e := range events {
		size += len(e.Data)
	}
	return size <= smallData
}

// write writes a portion. It takes each event out of the portion as soon as it has its encoding, so
// that a connection that waits within a large event does not keep the event in memory.
func (w *Writer) write(p *portion) error {
	if p.partial.isSet() {
		return w.writePartial(p.partial)
	}
	if len(p.events) == 0 {
		return w.conn.Write(p.bytes, w.cfg.WriteTimeout)
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

// writeEvent writes an event, a small one by way of the chunk.
func (w *Writer) writeEvent(c *chunk, e *hub.Event, subject string) error {
	codec := w.cfg.Codec
	if len(e.Data) <= smallData {
		w.cfg.Counters.Delivered.Add(1)
		return c.append(codec.Unwrap(e.Form(codec.Form(), codec.Encode)))
	}
	id := e.ID
	held, b := w.cache().Acquire(e, codec, subject)
	if len(b) > maxChunk {
		return w.writeLarge(c, partialEvent{event: id, encoding: held, subject: subject})
	}
	w.cfg.Counters.Delivered.Add(1)
	err := c.append(codec.Unwrap(b))
	if held != nil {
		w.cache().Release(held, subject)
	}
	return err
}

// writeLarge writes an event that is not copied, after what was gathered.
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
	w.cfg.Counters.Delivered.Add(1)
	return w.writePartial(r)
}

// writeRest writes what is left of a large event.
func (w *Writer) writePartial(r partialEvent) error {
	codec := w.cfg.Codec
	if r.encoding != nil {
		defer w.cache().Release(r.encoding, r.subject)
		return w.conn.Write(codec.Unwrap(r.encoding.bytes)[r.offset:], w.cfg.WriteTimeout)
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

// chunk gathers what is small, to be written at once. Its memory is taken when it is needed and given
// back when it is written.
type chunk struct {
	out    *Writer
	buffer *[]byte // nil: empty
}

// append adds bytes of a message, after it has written what they would have no room with.
func (c *chunk) append(b []byte) error {
	if c.buffer != nil && len(*c.buffer)+len(b) > maxChunk {
		if err := c.flush(); err != nil {
			return err
		}
	}
	if len(b) > maxChunk {
		return c.out.conn.Write(b, c.out.cfg.WriteTimeout)
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

// part adds as much of an event as there is room for, and returns how many bytes are left after it.
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

// flush writes what was gathered.
func (c *chunk) flush() error {
	if c.buffer == nil {
		return nil
	}
	defer c.free()
	return c.out.conn.Write(*c.buffer, c.out.cfg.WriteTimeout)
}

// free gives the memory back.
func (c *chunk) free() {
	if c.buffer != nil {
		*c.buffer = (*c.buffer)[:0]
		chunks.Put(c.buffer)
		c.buffer = nil
	}
}

// noRoom ends the stream before a large event that was removed from the window, and for which there
// is no memory. The subscriber is to come back to place, which is before the event. Called with mu held.
func (w *Writer) endForLackOfMemory(place hub.Cursor) {
	if w.closed || w.ended {
		return
	}
	w.cfg.Counters.NoEncodingMemory.Add(1)
	q := w.pending()
	if !w.ending {
		p := wire.Unavailable("too many slow subscribers read large events that are no longer in memory; resume later")
		w.ending, q.end = true, w.problemEnding(p)
	}
	q.endAt, q.endCursor = 0, place.String()
}
