package longpoll

import (
	"net/http"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// maxCopied is the maximum total size of the encodings in answer.copied, and the maximum size of the
// buffer for one write. An envelope larger than half of maxCopied is not copied to that buffer, unless the
// cache has no memory for its encoding.
const maxCopied = 64 << 10 // bytes

// envelopeFormat encodes the events of an answer as envelopes.
type envelopeFormat struct{}

func (envelopeFormat) Form() wire.Form            { return wire.FormFrame }
func (envelopeFormat) Encode(e *hub.Event) []byte { return wire.EncodeFrame(e) }

// cloudEventFormat encodes events for ?format=cloudevents.
type cloudEventFormat struct{ events wire.CloudEvents }

func (cloudEventFormat) Form() wire.Form              { return wire.FormFrameCloudEvent }
func (f cloudEventFormat) Encode(e *hub.Event) []byte { return f.events.EncodeFrame(e) }

// answer holds the encodings of the events in one answer, because retention may remove the events
// while the client reads slowly.
type answer struct {
	cache   *connection.EncodingCache
	format  connection.Format
	subject string // subject of the token; its share of the cache is used

	count  int // number of events
	length int // size of all envelopes, in bytes
	// copied contains the envelopes of the first events, which are copied to a buffer for writing.
	copied    [][]byte
	encodings []*connection.CachedEncoding // encodings of the other events; a nil element was written and released
	// large is the ID of the answer's only event, if the cache had no memory for its encoding.
	large hub.Cursor
}

// addEvents adds as many events as one answer may contain, but at least one. It stops early if the cache
// has no memory for an encoding. It returns the ID of the last event added.
func (a *answer) addEvents(events []*hub.Event) hub.Cursor {
	for i, e := range events {
		if !a.addEvent(e, i == 0) {
			return events[i-1].ID
		}
		a.count++
	}
	return events[len(events)-1].ID
}

func (a *answer) addEvent(e *hub.Event, first bool) bool {
	if a.large != (hub.Cursor{}) {
		return false
	}
	if len(a.encodings) == 0 && a.length+len(e.Data) <= maxCopied {
		envelope := wire.FramePayload(a.cache.Encode(e, a.format))
		if a.length+len(envelope) <= maxCopied {
			a.length += len(envelope)
			a.copied = append(a.copied, envelope)
			return true
		}
	}
	held, b := a.cache.Acquire(e, a.format, a.subject)
	n := len(wire.FramePayload(b))
	switch {
	case first && held == nil:
		a.large = e.ID
	case held == nil:
		return false
	case !first && a.length+n > maxAnswer:
		a.cache.Release(held, a.subject)
		return false
	default:
		a.encodings = append(a.encodings, held)
	}
	a.length += n
	return true
}

// release releases the encodings that were not written.
func (a *answer) release() {
	for _, x := range a.encodings {
		if x != nil {
			a.cache.Release(x, a.subject)
		}
	}
	a.encodings = nil
}

// answer writes one answer. The cursor in the answer is the position at which the client's next poll
// starts.
func (h *Handler) answer(
	w http.ResponseWriter, r *http.Request, s *hub.Subscription, record *connection.Record, a *answer, batch hub.ReadResult,
) {
	defer a.release()
	cursor := s.Cursor()
	if n := len(batch.Events); n > 0 {
		last := a.addEvents(batch.Events)
		if a.count < n || batch.More {
			cursor = last.String()
		}
		clear(batch.Events)
	}
	if a.large != (hub.Cursor{}) && s.Retained(a.large.Seq) == nil {
		h.shared.Counters.NoEncodingMemory.Add(1)
		record.SetReason(connection.ClosedNoMemory)
		web.WriteProblem(w, r, problems.Unavailable(noMemoryDetail))
		return
	}
	header := w.Header()
	header["Content-Type"], header["Cache-Control"] = jsonContentType, noStore
	if h.shared.Registry.IsDraining() {
		header.Set("Retry-After", strconv.Itoa(int(problems.RetryDelay().Round(time.Second)/time.Second)))
	}
	buffer := h.getBuffer()
	defer h.putBuffer(buffer)
	*buffer = wire.AppendPollHead(*buffer, cursor, batch.Gap)
	length := len(*buffer) + a.length + max(0, a.count-1) + len(wire.PollEnd)
	if h.write(w, r, s, a, buffer, length) == nil {
		h.countAnswer(record, a.count, length)
	}
}

// countAnswer counts an answer that was written. length is the size of its body, in bytes.
func (h *Handler) countAnswer(record *connection.Record, events, length int) {
	h.shared.Counters.Delivered.Add(uint64(events))
	h.shared.Counters.Bytes.Add(uint64(length))
	record.Count(events, length)
	record.SetReason(connection.ClosedAnswered)
}

const noMemoryDetail = "too many slow clients read large events that are no longer in memory; retry later"

// Values of headers. They are allocated once, because net/http does not change them.
var (
	jsonContentType = []string{"application/json"}
	noStore         = []string{"no-store"}
)

// maxImplicitLength is the maximum size, in bytes, of a body for which net/http sets Content-Length
// itself. If the handler does not set Content-Length for a longer body, net/http sends the body in chunks,
// which HTTP/1.0 does not support.
const maxImplicitLength = 2 << 10

// write writes the body of an answer. The body starts with the content of buffer; length is the size of the whole
// body in bytes. write sends each large event separately, and small events in parts of at most maxCopied bytes.
// Over HTTP/1, the connection.Listener limits the time that a write may take without progress. Over
// HTTP/2, a stream may stall while the connection makes progress with other streams, so each write gets a
// deadline.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, s *hub.Subscription, a *answer, buffer *[]byte, length int) error {
	http1 := r.ProtoMajor == 1
	if !http1 || length > maxImplicitLength {
		w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	b := &body{buffer: buffer, write: func(p []byte) error {
		_, err := w.Write(p)
		return err
	}}
	if !http1 {
		conn := connection.NewResponseConn(w)
		b.write = func(p []byte) error { return conn.Write(p, h.shared.WriteTimeout) }
	}
	for _, envelope := range a.copied {
		b.add(envelope)
	}
	a.copied = nil
	for i, x := range a.encodings {
		b.add(wire.FramePayload(x.Bytes()))
		a.encodings[i] = nil
		a.cache.Release(x, a.subject)
	}
	if a.large != (hub.Cursor{}) {
		h.writeLarge(s, a, b)
	}
	return b.end()
}

// writeLarge writes the event a.large, the answer's only event. It encodes the event again for each part
// that it writes.
func (h *Handler) writeLarge(s *hub.Subscription, a *answer, b *body) {
	for written := 0; written < a.length && b.err == nil; {
		e := s.Retained(a.large.Seq)
		if e == nil {
			h.shared.Counters.NoEncodingMemory.Add(1)
			panic(http.ErrAbortHandler) // closes the connection, because the header promises a longer body
		}
		envelope := wire.FramePayload(a.cache.Encode(e, a.format))
		n := min(maxCopied, len(envelope)-written)
		b.flush()
		b.append(envelope[written : written+n])
		written += n
	}
}

// body writes envelopes with commas between them. It collects small envelopes in a buffer.
type body struct {
	write       func([]byte) error
	buffer      *[]byte
	hasEnvelope bool  // whether an envelope was added, so that a comma must precede the next envelope
	err         error // first error of write
}

func (b *body) add(envelope []byte) {
	if b.hasEnvelope {
		b.append([]byte{','})
	}
	b.hasEnvelope = true
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
