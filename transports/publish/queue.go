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

// maxQueued bounds the bytes of events waiting in a queue, besides MaxEvents. A stream holds that
// much, one event more, and as much again that is being published. The limit is large because a
// publish may take an engine milliseconds whatever its size, and many events, even of 10 KiB,
// should share one.
const maxQueued = 1 << 20 // bytes

// quickPublish is the duration up to which a publish is done without another goroutine.
const quickPublish = 100 * time.Microsecond

// eventOverhead is the memory of a queued event besides its fields.
const eventOverhead = 256 // bytes

// queue publishes a stream's events in order while more are read. Events added during a publish go
// into the next one. Its goroutine exists only while there is something to publish; the owner of
// the queue waits for it with finish.
type queue struct {
	hub         *hub.Hub
	access      auth.Access
	ctx         context.Context // ends waits
	fail        func(error)     // called once with the reason why publishing has failed
	reservation *intake.Reservation
	published   *atomic.Uint64 // counts the published events; nil: they are not counted

	changed sync.Cond // signaled by its goroutine

	mu             sync.Mutex // guards the fields below
	waiting        batch
	publishingSize int  // memory of the events being published, in bytes
	publishDue     bool // waiting must be published
	running        bool // the goroutine exists
	line           int  // line of the first event that could not be published
	err            error

	// owned by the goroutine that publishes

	receipt      hub.Receipt   // events published so far
	lastDuration time.Duration // duration of the last publish
}

// batch is a list of events to be published together, and their line numbers.
type batch struct {
	events []*hub.Event
	lines  []int
	size   int // bytes
}

// memory returns the memory of the batch in bytes.
func (b *batch) memory() int { return b.size + eventOverhead*len(b.events) }

func newQueue(ctx context.Context, h *hub.Hub, access auth.Access, held *intake.Reservation, fail func(error)) *queue {
	q := &queue{hub: h, access: access, ctx: ctx, reservation: held, fail: fail}
	q.changed.L = &q.mu
	q.receipt.Last = h.Position() // for a stream without events
	return q
}

// add queues an event. It blocks while the queue is full. If the budget has no memory for the
// event, add blocks until the event is published; it then uses the memory reserved for its line.
// The error is that of an earlier event that could not be published.
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

// full reports whether an event has to wait. Called with mu held.
func (q *queue) full(room bool) bool {
	n := len(q.waiting.events)
	return n == MaxEvents || q.waiting.size >= maxQueued || !room && (n > 0 || q.running)
}

// reserve reports whether the budget has memory for one more event. Called with mu held.
func (q *queue) reserve(size int) bool {
	return q.reservation.Resize(roundUp(q.waiting.memory()+q.publishingSize+size+eventOverhead)) == nil
}

// roundUp rounds up to a multiple of intake.SmallSize, so that small events seldom change the
// reservation.
func roundUp(size int) int64 {
	return (int64(size) + intake.SmallSize - 1) / intake.SmallSize * intake.SmallSize
}

// flush starts publishing the waiting events, or marks them to be published after the current ones.
func (q *queue) flush() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.startPublish()
	return q.err
}

// finish blocks until everything is published. On failure it returns the line of the first event
// that could not be published, and the error.
func (q *queue) finish() (line int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.startPublish()
	for q.running {
		q.changed.Wait()
	}
	return q.line, q.err
}

// startPublish publishes the waiting events, in this goroutine if publishing is quick, else in
// another. Called with mu held.
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

// run publishes the waiting events until there are none. It is called with mu held, and unlocks mu
// while it publishes.
func (q *queue) run() {
	for q.publishDue {
		b := q.waiting
		q.waiting, q.publishDue, q.publishingSize = batch{}, false, b.memory()
		q.changed.Broadcast()
		q.mu.Unlock()
		n, err := q.publishBatch(b.events)
		q.mu.Lock()
		q.publishingSize = 0
		_ = q.reservation.Resize(roundUp(q.waiting.memory())) // freeing is never refused
		if err != nil {
			q.line, q.err, q.publishDue = b.lines[n], err, false
			q.fail(err)
		}
	}
}

// publishBatch publishes the events as fast as the token's rate allows, and returns how many it
// published.
func (q *queue) publishBatch(events []*hub.Event) (done int, err error) {
	for done < len(events) && err == nil {
		var n int
		if n, err = q.access.WaitPublish(q.ctx, len(events)-done); err != nil {
			if ended := endError(q.ctx); ended != nil {
				err = ended
			}
			break
		}
		// The wait may have been long, and rights may have changed since the line arrived.
		next := events[done : done+n]
		grant := q.access.Grant()
		if n, err = countPermitted(grant, next); n == 0 {
			break
		}
		// Events that have arrived are published even if the client disconnects.
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

// countPermitted returns how many of the events may be published, up to the first that may not, and
// the problem of that one.
func countPermitted(grant *auth.Grant, events []*hub.Event) (int, error) {
	for i, e := range events {
		if problem := web.MayPublish(grant, e.Topic); problem != nil {
			return i, problem
		}
	}
	return len(events), nil
}
