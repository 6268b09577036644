package outlet

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
	errRemovedWithin = errors.New("the event was removed while it was being written")
	errNoRoom        = errors.New("no room for the encoding of a removed event")
)

var chunks = sync.Pool{New: func() any {
	b := make([]byte, 0, maxChunk)
	return &b
}}

// rest is what was not written of a large event. Its bytes are others' too, or made again.
type rest struct {
	event   hub.Cursor
	offset  int       // bytes that were written
	held    *Encoding // nil: there was no room
	subject string    // for which it is held
}

func (r *rest) isLeft() bool { return r.event != hub.Cursor{} }

// leave keeps what is left of an event that was written up to offset. Called with mu held.
func (o *Outlet) leave(id hub.Cursor, b []byte, offset int) {
	w := o.later()
	switch {
	case len(b) <= maxChunk:
		w.tail = b[offset:]
	case len(b)-offset <= maxRest:
		w.tail = bytes.Clone(b[offset:])
	default:
		w.rest = rest{event: id, offset: offset, subject: o.subject()}
		w.rest.held = o.encodings().adopt(encodingKey{id, o.cfg.Codec.Form()}, b, w.rest.subject)
	}
}

// forget drops all that waits. Called with mu held.
func (o *Outlet) forget() {
	if w := o.waiting; w != nil && w.rest.held != nil {
		o.encodings().Release(w.rest.held, w.rest.subject)
	}
	o.waiting = nil
}

func (o *Outlet) encodings() *Encodings { return o.cfg.Group.encodings }

// subject returns whose share of Encodings the connection uses. Called with mu held.
func (o *Outlet) subject() string {
	if grant := o.lease.Grant(); grant != nil {
		return grant.Subject
	}
	return ""
}

// isCheap reports whether the events are quickly encoded, and then small together.
func isCheap(events []*hub.Event) bool {
	size := 0
	for _, e := range events {
		size += len(e.Data)
	}
	return size <= cheapData
}

// write writes a portion. It takes each event out of the portion as soon as it has its encoding, so
// that a connection that waits within a large event does not keep the event in memory.
func (o *Outlet) write(p *portion) error {
	if p.rest.isLeft() {
		return o.writeRest(p.rest)
	}
	if len(p.events) == 0 {
		return o.conn.Write(p.bytes, o.cfg.WriteTimeout)
	}
	c := chunk{out: o}
	defer c.free()
	if err := c.append(p.bytes); err != nil {
		return err
	}
	for i, e := range p.events {
		p.events[i] = nil
		id := e.ID
		if err := o.writeEvent(&c, e, p.subject); err != nil {
			return err
		}
		p.place = id
	}
	return c.flush()
}

// writeEvent writes an event, a small one by way of the chunk.
func (o *Outlet) writeEvent(c *chunk, e *hub.Event, subject string) error {
	codec := o.cfg.Codec
	if len(e.Data) <= cheapData {
		o.cfg.Counters.Delivered.Add(1)
		return c.append(codec.Unwrap(e.Form(codec.Form(), codec.Encode)))
	}
	id := e.ID
	held, b := o.encodings().Acquire(e, codec, subject)
	if len(b) > maxChunk {
		return o.writeLarge(c, rest{event: id, held: held, subject: subject})
	}
	o.cfg.Counters.Delivered.Add(1)
	err := c.append(codec.Unwrap(b))
	if held != nil {
		o.encodings().Release(held, subject)
	}
	return err
}

// writeLarge writes an event that is not copied, after what was gathered.
func (o *Outlet) writeLarge(c *chunk, r rest) error {
	err := c.flush()
	switch {
	case err != nil && r.held != nil:
		o.encodings().Release(r.held, r.subject)
	case err == nil && r.held == nil && o.sub.Retained(r.event.Seq) == nil:
		err = errNoRoom
	}
	if err != nil {
		return err
	}
	o.cfg.Counters.Delivered.Add(1)
	return o.writeRest(r)
}

// writeRest writes what is left of a large event.
func (o *Outlet) writeRest(r rest) error {
	codec := o.cfg.Codec
	if r.held != nil {
		defer o.encodings().Release(r.held, r.subject)
		return o.conn.Write(codec.Unwrap(r.held.bytes)[r.offset:], o.cfg.WriteTimeout)
	}
	c := chunk{out: o}
	defer c.free()
	for {
		left, err := c.part(r)
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
	out    *Outlet
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
func (c *chunk) part(r rest) (left int, err error) {
	o := c.out
	e := o.sub.Retained(r.event.Seq)
	if e == nil {
		return 0, errRemovedWithin
	}
	b := o.cfg.Codec.Unwrap(o.encodings().Encode(e, o.cfg.Codec))[r.offset:]
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
func (o *Outlet) noRoom(place hub.Cursor) {
	if o.closed || o.ended {
		return
	}
	o.cfg.Counters.NoRoom.Add(1)
	w := o.later()
	if !o.ending {
		p := wire.Unavailable("too many slow subscribers read large events that are no longer in memory; resume later")
		o.ending, w.end = true, o.failure(p)
	}
	w.endAt, w.place = 0, place.String()
}
