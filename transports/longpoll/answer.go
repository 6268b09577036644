package longpoll

import (
	"net/http"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// maxCopied bounds what is copied for one answer: the first events of it, and later what is gathered
// for one write. The rest is written from the encodings that all connections share.
const maxCopied = 64 << 10 // bytes

// frames is the format whose payloads are an answer's events.
type frames struct{}

func (frames) Form() hub.Form             { return wire.FormFrame }
func (frames) Encode(e *hub.Event) []byte { return wire.EncodeFrame(e) }

// cloudEventFrames is that of ?format=cloudevents.
type cloudEventFrames struct{ events wire.CloudEvents }

func (cloudEventFrames) Form() hub.Form               { return wire.FormFrameCloudEvent }
func (f cloudEventFrames) Encode(e *hub.Event) []byte { return f.events.EncodeFrame(e) }

// answer is the events of one answer, as encodings: the events themselves may be removed while a
// client reads slowly.
type answer struct {
	encodings *connection.EncodingCache
	format    connection.Format
	subject   string // whose share of the encodings is used

	count  int // events
	length int // bytes of the envelopes
	// The first envelopes are copied when the answer begins to be written.
	first [][]byte
	held  []*connection.CachedEncoding // of the others; nil: written and released
	// large is the only event, if it is set: there was no room to hold its encoding.
	large hub.Cursor
}

// fill takes as many events as one answer has, one at least, and returns the ID of the last. An answer
// for which there is no room among the encodings ends earlier.
func (a *answer) fill(events []*hub.Event) hub.Cursor {
	for i, e := range events {
		if !a.add(e, i == 0) {
			return events[i-1].ID
		}
		a.count++
	}
	return events[len(events)-1].ID
}

func (a *answer) add(e *hub.Event, first bool) bool {
	if a.large != (hub.Cursor{}) {
		return false
	}
	if len(a.held) == 0 && a.length+len(e.Data) <= maxCopied {
		envelope := wire.FramePayload(a.encodings.Encode(e, a.format))
		if a.length+len(envelope) <= maxCopied {
			a.length += len(envelope)
			a.first = append(a.first, envelope)
			return true
		}
	}
	held, b := a.encodings.Acquire(e, a.format, a.subject)
	n := len(wire.FramePayload(b))
	switch {
	case first && held == nil:
		a.large = e.ID
	case held == nil:
		return false
	case !first && a.length+n > maxAnswer:
		a.encodings.Release(held, a.subject)
		return false
	default:
		a.held = append(a.held, held)
	}
	a.length += n
	return true
}

// release releases what was not written.
func (a *answer) release() {
	for _, x := range a.held {
		if x != nil {
			a.encodings.Release(x, a.subject)
		}
	}
	a.held = nil
}

// answer writes what goes into one answer; the cursor says where the rest begins.
func (h *Handler) answer(
	w http.ResponseWriter, r *http.Request, s *hub.Subscription, access web.Access, format connection.Format, batch hub.Batch,
) {
	a := &answer{encodings: h.cfg.Registry.EncodingCache(), format: format}
	defer a.release()
	if grant := access.Grant(); grant != nil {
		a.subject = grant.Subject
	}
	cursor := s.Place()
	if n := len(batch.Events); n > 0 {
		last := a.fill(batch.Events)
		if a.count < n || batch.More {
			cursor = last.String()
		}
		clear(batch.Events)
	}
	if a.large != (hub.Cursor{}) && s.Retained(a.large.Seq) == nil {
		h.cfg.Counters.NoEncodingMemory.Add(1)
		web.WriteProblem(w, r, wire.Unavailable(noRoom))
		return
	}
	header := w.Header()
	header["Content-Type"], header["Cache-Control"] = isJSON, noStore
	if h.cfg.Registry.IsDraining() {
		header.Set("Retry-After", strconv.Itoa(int(web.RetryDelay().Round(time.Second)/time.Second)))
	}
	buffer := h.body()
	defer h.keep(buffer)
	*buffer = wire.AppendPollHead(*buffer, cursor, batch.Gap)
	if h.write(w, r, s, a, buffer) == nil {
		h.cfg.Counters.Delivered.Add(uint64(a.count))
	}
}

const noRoom = "too many slow clients read large events that are no longer in memory; ask again later"

// Values of headers, made once. net/http copies the map but not these; nobody changes them.
var (
	isJSON  = []string{"application/json"}
	noStore = []string{"no-store"}
)

// maxCounted is the longest body whose length net/http finds out by itself, in bytes. Any more it
// would send in chunks, which HTTP/1.0 has not.
const maxCounted = 2 << 10

// write writes the body, which begins with what buffer has. Over HTTP/1 the answer goes out as one
// write when the handler returns, or as one for each large event and each maxCopied bytes of small
// ones; the listener below bounds the time of each. A connection of HTTP/2 carries others too, whose
// progress is not the answer's.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, s *hub.Subscription, a *answer, buffer *[]byte) error {
	length := len(*buffer) + a.length + max(0, a.count-1) + len(wire.PollEnd)
	one := r.ProtoMajor == 1
	if !one || length > maxCounted {
		w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	b := &body{buffer: buffer, write: func(p []byte) error {
		_, err := w.Write(p)
		return err
	}}
	if !one {
		conn := connection.NewResponseConn(w)
		b.write = func(p []byte) error { return conn.Write(p, h.cfg.WriteTimeout) }
	}
	for _, envelope := range a.first {
		b.add(envelope)
	}
	a.first = nil
	for i, x := range a.held {
		b.add(wire.FramePayload(x.Bytes()))
		a.held[i] = nil
		a.encodings.Release(x, a.subject)
	}
	if a.large != (hub.Cursor{}) {
		h.writeLarge(s, a, b)
	}
	return b.end()
}

// writeLarge writes the only event of an answer a part at a time, each encoded anew.
func (h *Handler) writeLarge(s *hub.Subscription, a *answer, b *body) {
	for written := 0; written < a.length && b.err == nil; {
		e := s.Retained(a.large.Seq)
		if e == nil {
			h.cfg.Counters.NoEncodingMemory.Add(1)
			panic(http.ErrAbortHandler) // an answer that has begun can only be cut
		}
		envelope := wire.FramePayload(a.encodings.Encode(e, a.format))
		n := min(maxCopied, len(envelope)-written)
		b.flush()
		b.append(envelope[written : written+n])
		written += n
	}
}

// body writes envelopes with commas between them. What is small is gathered in the buffer.
type body struct {
	write  func([]byte) error
	buffer *[]byte
	some   bool // an envelope was added
	err    error
}

func (b *body) add(envelope []byte) {
	if b.some {
		b.append([]byte{','})
	}
	b.some = true
	if len(envelope) > maxCopied/2 {
		b.flush()
		if b.err == nil {
			b.err = b.write(envelope)
		}
		return
	}
	b.append(envelope)
}

func (b *body) append(p []byte) {
	if len(*b.buffer)+len(p) > maxCopied {
		b.flush()
	}
	*b.buffer = append(*b.buffer, p...)
}

func (b *body) flush() {
	if b.err == nil && len(*b.buffer) > 0 {
		b.err = b.write(*b.buffer)
	}
	*b.buffer = (*b.buffer)[:0]
}

func (b *body) end() error {
	b.append([]byte(wire.PollEnd))
	b.flush()
	return b.err
}
