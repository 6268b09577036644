package longpoll

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// sharedAnswer is an HTTP response that can answer several parked polls: their answers contain the same
// events and cursor, in the same format and with equal header lines.
type sharedAnswer struct {
	format connection.Format
	base   *baseHeader // header lines that the responses have in common; see pollConn.base
	cursor hub.Cursor
	events []*hub.Event
	bytes  []byte // header and body
	length int    // length of the body
}

// sharedAnswers caches the newest shared answers for polls that are about to be answered.
type sharedAnswers struct {
	mu     sync.Mutex
	newest [4]*sharedAnswer
	next   int
}

// answerFor returns the answer to the poll of c, and advances the position of the poll past the events
// in the answer. The answer contains the events b.Events[start:], but at most as many as the poll allows.
// If the answer is too large to be shared, answerFor returns nil and changes nothing. c.mu must be held.
func (s *sharedAnswers) answerFor(c *pollConn, b *hub.Batch, start int) *sharedAnswer {
	events := b.Events[start:min(len(b.Events), start+int(c.poll.max))]
	to := b.To
	if start+len(events) < len(b.Events) {
		to = events[len(events)-1].ID.Seq
	}
	cursor := hub.Cursor{Epoch: c.poll.subscription.Position().Epoch, Seq: to}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.newest {
		if a != nil && a.cursor == cursor && a.format == c.poll.format && a.base.lines == c.base.lines && slices.Equal(a.events, events) {
			c.poll.subscription.Advance(to)
			return a
		}
	}
	a := newSharedAnswer(c, events, cursor)
	if a == nil {
		return nil
	}
	s.newest[s.next] = a
	s.next = (s.next + 1) % len(s.newest)
	c.poll.subscription.Advance(to)
	return a
}

// newSharedAnswer returns the answer to the poll of c with the given events and cursor, or nil if the
// answer is too large to be shared.
func newSharedAnswer(c *pollConn, events []*hub.Event, cursor hub.Cursor) *sharedAnswer {
	cache := c.handler.shared.Registry.EncodingCache()
	body := wire.AppendPollHead(nil, cursor.String(), nil)
	for i, e := range events {
		if len(body)+len(e.Data) > maxCopied {
			return nil
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, wire.FramePayload(cache.Encode(e, c.poll.format))...)
	}
	if body = append(body, wire.PollEnd...); len(body) > maxCopied {
		return nil
	}
	a := &sharedAnswer{format: c.poll.format, base: c.base, cursor: cursor, events: slices.Clone(events), length: len(body)}
	a.bytes = append(a.bytes, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nDate: "...)
	a.bytes = time.Now().UTC().AppendFormat(a.bytes, http.TimeFormat)
	a.bytes = append(a.bytes, "\r\n"...)
	a.bytes = append(a.bytes, c.base.lines...)
	a.bytes = append(a.bytes, "Content-Length: "...)
	a.bytes = strconv.AppendInt(a.bytes, int64(len(body)), 10)
	a.bytes = append(a.bytes, "\r\n\r\n"...)
	a.bytes = append(a.bytes, body...)
	return a
}
