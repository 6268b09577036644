package publish

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/intake"
	"github.com/trivium-hub/trivium/transports/web"
)

// maxQueued bounds what waits in a queue, beside MaxEvents; with one event more, and as much again
// that is being published, it is what a stream holds. It is large because a publish may take an
// engine milliseconds however small it is: of events of 10 KiB, too, many then share them.
const maxQueued = 1 << 20 // bytes

// quick: a publish that takes less is not worth a goroutine of its own.
const quick = 100 * time.Microsecond

// perEvent is what an event in a queue takes beside its bytes.
const perEvent = 256 // bytes

// queue publishes a stream's events in their order, while more of them are read: what is added
// during a publish goes with the next one. Its goroutine is there only as long as there is
// something to publish; who made the queue waits for it with finish.
type queue struct {
	hub    *hub.Hub
	access web.Access
	ctx    context.Context // for waiting
	fail   func(error)     // told, once, why it cannot go on
	held   *intake.Reservation

	moved sync.Cond // by its goroutine

	mu      sync.Mutex // guards what follows
	waiting batch
	flying  int  // bytes of memory that the events being published take
	due     bool // waiting is to be published
	running bool // the goroutine is there
	line    int  // of the first event that could not be published
	err     error

	// owned by whoever publishes

	receipt hub.Receipt   // what was published
	took    time.Duration // the last publish
}

// batch is events to be published together, and where they stood.
type batch struct {
	events []*hub.Event
	lines  []int
	size   int // bytes
}

// memory is what the batch takes, in bytes.
func (b *batch) memory() int { return b.size + perEvent*len(b.events) }

func newQueue(ctx context.Context, h *hub.Hub, access web.Access, held *intake.Reservation, fail func(error)) *queue {
	q := &queue{hub: h, access: access, ctx: ctx, held: held, fail: fail}
	q.moved.L = &q.mu
	q.receipt.Last = h.Position() // of a stream without events
	return q
}

// add takes an event; it waits while the queue is full, or has no room by the budget. Then the event
// is published before add returns, in the memory that is reserved for its line. The error is why an
// earlier one could not be published.
func (q *queue) add(event *hub.Event, line int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := len(event.Data) + len(event.Topic) + len(event.Type) + len(event.Key)
	room := q.reserve(size)
	for q.err == nil && q.full(room) {
		if q.publish(); q.running {
			q.moved.Wait()
		}
		room = q.reserve(size)
	}
	b := &q.waiting
	b.events, b.lines = append(b.events, event), append(b.lines, line)
	b.size += size
	if !room {
		for q.publish(); q.running; {
			q.moved.Wait()
		}
	}
	return q.err
}

// full reports whether an event has to wait. It is called with mu held.
func (q *queue) full(room bool) bool {
	n := len(q.waiting.events)
	return n == MaxEvents || q.waiting.size >= maxQueued || !room && (n > 0 || q.running)
}

// reserve reports whether there is room for one event more. It is called with mu held.
func (q *queue) reserve(size int) bool {
	return q.held.Resize(roundUp(q.waiting.memory()+q.flying+size+perEvent)) == nil
}

// roundUp makes a size one of few, so that a small event seldom changes what is reserved.
func roundUp(size int) int64 {
	return (int64(size) + intake.SmallSize - 1) / intake.SmallSize * intake.SmallSize
}

// flush has what waits published, at once or right after what is being published.
func (q *queue) flush() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.publish()
	return q.err
}

// finish waits until all is published, or gives the line of the first event that could not be, and
// why.
func (q *queue) finish() (line int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.publish()
	for q.running {
		q.moved.Wait()
	}
	return q.line, q.err
}

// publish is called with mu held.
func (q *queue) publish() {
	q.due = len(q.waiting.events) > 0 && q.err == nil
	switch {
	case !q.due || q.running:
	case q.took < quick:
		q.run()
	default:
		q.running = true
		go func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.run()
			q.running = false
			q.moved.Broadcast()
		}()
	}
}

// run is called with mu held, and gives it up while it publishes.
func (q *queue) run() {
	for q.due {
		b := q.waiting
		q.waiting, q.due, q.flying = batch{}, false, b.memory()
		q.moved.Broadcast()
		q.mu.Unlock()
		n, err := q.put(b.events)
		q.mu.Lock()
		q.flying = 0
		_ = q.held.Resize(roundUp(q.waiting.memory())) // to give back is never refused
		if err != nil {
			q.line, q.err, q.due = b.lines[n], err, false
			q.fail(err)
		}
	}
}

// put publishes the events as fast as the token may, and gives how many it did.
func (q *queue) put(events []*hub.Event) (done int, err error) {
	for done < len(events) && err == nil {
		var n int
		if n, err = q.access.WaitPublish(q.ctx, len(events)-done); err != nil {
			if ended := endOf(q.ctx); ended != nil {
				err = ended
			}
			break
		}
		// The wait may have been long: what was right when the line came may not be any more.
		next := events[done : done+n]
		grant := q.access.Grant()
		if n, err = permitted(grant, next); n == 0 {
			break
		}
		// What has come whole is published, even if its client does not wait.
		begin := time.Now()
		last, failed := q.hub.PublishInOrder(hub.WithPublisher(context.WithoutCancel(q.ctx), grant.Subject), next[:n]...)
		q.took = time.Since(begin)
		var partial *hub.PartialError
		switch {
		case errors.As(failed, &partial):
			n = partial.Stored
		case failed != nil:
			return done, failed
		}
		q.receipt.Last = last
		q.receipt.Count += n
		done += n
		err = cmp.Or(failed, err)
	}
	return done, err
}

// permitted gives how many of the events may be published now, and why not all.
func permitted(grant *hub.Grant, events []*hub.Event) (int, error) {
	for i, e := range events {
		if problem := web.MayPublish(grant, e.Topic); problem != nil {
			return i, problem
		}
	}
	return len(events), nil
}
