//go:build js

package client

import (
	"context"
	"errors"
	"sync"
)

// Limits of a queue. A page's WebSocket and EventSource deliver without backpressure. If a message
// arrives when the queue is full, the connection is closed. The client reads the queue, and then
// reconnects at its cursor.
const (
	maxQueuedMessages = 10_000
	maxQueuedBytes    = 4 << 20
)

// errQueueFull is the error of a connection whose queue was full.
var errQueueFull = errors.New("client: closed because too many messages were waiting to be read")

// errClosedLocally is the error of a connection after Close.
var errClosedLocally = errors.New("client: connection closed by this side")

// queue passes items from callbacks to the goroutine that reads them.
type queue[T any] struct {
	changed chan struct{} // capacity 1; signaled when items or err changed

	mu    sync.Mutex // never held while blocking, because callbacks also lock it
	items []queued[T]
	bytes int
	err   error // returned after all items were received; nil while open
}

type queued[T any] struct {
	item T
	size int // size in bytes
}

func newQueue[T any]() *queue[T] { return &queue[T]{changed: make(chan struct{}, 1)} }

// add appends an item. If the queue is full, it closes the queue with errQueueFull and returns false.
func (q *queue[T]) add(item T, size int) (ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.err != nil:
		return false
	case len(q.items) >= maxQueuedMessages || q.bytes >= maxQueuedBytes:
		q.closeLocked(errQueueFull)
		return false
	}
	q.items = append(q.items, queued[T]{item, size})
	q.bytes += size
	q.signal()
	return true
}

// close sets the error that receive returns once the queue is empty. Later calls have no effect.
func (q *queue[T]) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closeLocked(err)
}

func (q *queue[T]) closeLocked(err error) {
	if q.err == nil {
		q.err = err
		q.signal()
	}
}

// discard drops all items and closes the queue.
func (q *queue[T]) discard(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items, q.bytes = nil, 0
	q.closeLocked(err)
}

func (q *queue[T]) signal() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// receive blocks until there is another item or the queue is closed. Only one goroutine may call
// it.
func (q *queue[T]) receive(ctx context.Context) (item T, err error) {
	for {
		if item, err, ok := q.tryReceive(); ok {
			return item, err
		}
		select {
		case <-q.changed:
		case <-ctx.Done():
			return item, ctx.Err()
		}
	}
}

func (q *queue[T]) tryReceive() (item T, err error, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		q.items = nil // frees the backing array
		return item, q.err, q.err != nil
	}
	first := q.items[0]
	q.items[0] = queued[T]{}
	q.items = q.items[1:]
	q.bytes -= first.size
	return first.item, nil, true
}
