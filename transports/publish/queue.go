package publish

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	"github.com/trivium-hub/trivium/transports/internal/web"
)

// maxQueued is the size of waiting events, in bytes, above which a queue accepts no more events. The
// number of waiting events is limited by MaxEvents. A stream may need this memory twice, for the waiting
// events and for the events that are being published, and memory for one more event. The limit is high
// enough for many events of 10 KiB, because a publish may take milliseconds, even if it is small.
const maxQueued = 1 << 20 // bytes

// quickPublish is a limit for the duration of a publish. If the last publish was quicker, the stream
// publishes the next events without a second goroutine.
const quickPublish = 100 * time.Microsecond

// eventOverhead is the memory of a queued event in addition to its topic, type, key and data.
const eventOverhead = 256 // bytes

// queue publishes the events of a stream in order while its owner reads more events. Events that are
// added during a publish are published together by the next publish. The queue's goroutine exists only
// while events must be published. The owner must call finish, which waits for the goroutine.
type queue struct {
	hub         *hub.Hub
	access      auth.Access
	ctx         context.Context // when it ends, a wait for the rate limit is canceled
	fail        func(error)     // called once, with the error, if publishing fails
	reservation *intake.Reservation
	published   *atomic.Uint64 // counts the published events; nil: they are not counted

	changed sync.Cond // signaled when waiting becomes empty, and when the queue's goroutine ends

	mu             sync.Mutex // guards the fields below
	waiting        batch
	publishingSize int  // memory, in bytes, of the events that are being published
	publishDue     bool // whether the waiting events must be published
	running        bool // whether the queue's goroutine exists
	line           int  // line number of the first event that could not be published
	err            error

	// The goroutine that publishes owns these fields.

	receipt      hub.Receipt   // ID of the last published event, and number of published events
	lastDuration time.Duration // duration of the last publish
}

// batch is a list of events that are published together.
type batch struct {
	events []*hub.Event
	lines  []int // line number of each event
	size   int   // size of all topics, types, keys and data, in bytes
}

// memory returns the memory of the batch, in bytes.
func (b *batch) memory() int { return b.size + eventOverhead*len(b.events) }

func newQueue(ctx context.Context, h *hub.Hub, access auth.Access, held *intake.Reservation, fail func(error)) *queue {
	q := &queue{hub: h, access: access, ctx: ctx, reservation: held, fail: fail}
	q.changed.L = &q.mu
	q.receipt.Last = h.Position() // if the stream has no events, the receipt contains the current position
	return q
}

// add queues an event. It blocks while the queue is full. If the budget has no memory for the event, add
// blocks until the event is published; in the meantime, the event uses the memory that is reserved for
// its line. If an event could not be published, add returns the error.
func (q *queue) add(event *hub.Event, line int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := len(event.Data) + len(event.Topic) + len(event.Type) + len(event.Key)
	room := q.reserve(size)
	for q.err == nil && q.full(room) {
		if q.startPublish(); q.running {
			q.changed.Wait()
		}
		room = q.reserve(size)
	}
	b := &q.waiting
	b.events, b.lines = append(b.events, event), append(b.lines, line)
	b.size += size
	if !room {
		for q.startPublish(); q.running; {
			q.changed.Wait()
		}
	}
	return q.err
}

// full reports whether the next event cannot be added yet. room reports whether memory is reserved for
// it. mu must be held.
func (q *queue) full(room bool) bool {
	n := len(q.waiting.events)
	return n == MaxEvents || q.waiting.size >= maxQueued || !room && (n > 0 || q.running)
}

// reserve reserves memory for one more event of the given size. It returns false if the budget does not
// allow it. mu must be held.
func (q *queue) reserve(size int) bool {
	return q.reservation.Resize(roundUp(q.waiting.memory()+q.publishingSize+size+eventOverhead)) == nil
}

// roundUp rounds size up to a multiple of intake.SmallSize, so that small events rarely change the
// reservation.
func roundUp(size int) int64 {
	return (int64(size) + intake.SmallSize - 1) / intake.SmallSize * intake.SmallSize
}

// flush starts to publish the waiting events. If other events are being published, the waiting events
// are published next. If an event could not be published, flush returns the error.
func (q *queue) flush() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.startPublish()
	return q.err
}

// finish blocks until all events are published. If an event could not be published, finish returns the
// error and the line number of the first event that was not published.
func (q *queue) finish() (line int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.startPublish()
	for q.running {
		q.changed.Wait()
	}
	return q.line, q.err
}

// startPublish publishes the waiting events: in the caller's goroutine if the last publish was quick,
// otherwise in the queue's goroutine. mu must be held.
func (q *queue) startPublish() {
	q.publishDue = len(q.waiting.events) > 0 && q.err == nil
	switch {
	case !q.publishDue || q.running:
	case q.lastDuration < quickPublish:
		q.run()
	default:
		q.running = true
		go func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.run()
			q.running = false
			q.changed.Broadcast()
		}()
	}
}

// run publishes until no events are waiting. mu must be held; run unlocks it while it publishes.
func (q *queue) run() {
	for q.publishDue {
		b := q.waiting
		q.waiting, q.publishDue, q.publishingSize = batch{}, false, b.memory()
		q.changed.Broadcast()
		q.mu.Unlock()
		n, err := q.publishBatch(b.events)
		q.mu.Lock()
		q.publishingSize = 0
		_ = q.reservation.Resize(roundUp(q.waiting.memory())) // a reservation can always be reduced
		if err != nil {
			q.line, q.err, q.publishDue = b.lines[n], err, false
			q.fail(err)
		}
	}
}

// publishBatch authorizes and publishes events in order, at the rate that the token allows. It returns
// the number of published events.
func (q *queue) publishBatch(events []*hub.Event) (done int, err error) {
	for done < len(events) && err == nil {
		var n int
		if n, err = q.access.WaitPublish(q.ctx, len(events)-done); err != nil {
			if ended := endError(q.ctx); ended != nil {
				err = ended
			}
			break
		}
		// The rights may have changed since the lines arrived.
		next := events[done : done+n]
		grant := q.access.Grant()
		if n, err = countPermitted(grant, next); n == 0 {
			break
		}
		// WithoutCancel, because a disconnect of the client must not cancel the publish.
		start := time.Now()
		last, failed := q.hub.PublishInOrder(hub.WithPublisher(context.WithoutCancel(q.ctx), grant.Subject), next[:n]...)
		q.lastDuration = time.Since(start)
		var partial *hub.PartialError
		switch {
		case errors.As(failed, &partial):
			n = partial.Stored
		case failed != nil:
			return done, failed
		}
		q.receipt.Last = last
		q.receipt.Count += n
		if q.published != nil {
			q.published.Add(uint64(n))
		}
		done += n
		err = cmp.Or(failed, err)
	}
	return done, err
}

// countPermitted returns the number of events at the beginning of the list that may be published. If an
// event may not be published, countPermitted also returns the problem for the first such event.
func countPermitted(grant *auth.Grant, events []*hub.Event) (int, error) {
	for i, e := range events {
		if problem := web.MayPublish(grant, e.Topic); problem != nil {
			return i, problem
		}
	}
	return len(events), nil
}
