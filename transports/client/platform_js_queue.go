//go:build js

package client

import (
	"context"
	"errors"
	"sync"
)

// A page's WebSocket and EventSource deliver as fast as the network does, whether anybody takes
// what they bring. So much may wait, and one message more; who lets more wait loses the connection,
// and goes on at its cursor when it has taken what waited.
const (
	maxQueuedMessages = 10_000
	maxQueuedBytes    = 4 << 20
)

// errBehind ends a connection of which too much waits to be taken.
var errBehind = errors.New("client: let go, for more messages waited than a page keeps")

// errLetGo is the end of what was closed from this side.
var errLetGo = errors.New("client: the connection was closed from this side")

// queue hands what callbacks bring to the goroutine that takes it.
type queue[T any] struct {
	news chan struct{} // has a value if there is something new to see

	mu    sync.Mutex // held for a few steps that wait for nothing, so by callbacks too
	items []queued[T]
	bytes int
	err   error // what follows the items, once it is known
}

type queued[T any] struct {
	item T
	size int // bytes
}

func newQueue[T any]() *queue[T] { return &queue[T]{news: make(chan struct{}, 1)} }

// put adds an item; if there is no room, it is the end, by errBehind.
func (q *queue[T]) put(item T, size int) (ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.err != nil:
		return false
	case len(q.items) >= maxQueuedMessages || q.bytes >= maxQueuedBytes:
		q.endLocked(errBehind)
		return false
	}
	q.items = append(q.items, queued[T]{item, size})
	q.bytes += size
	q.ring()
	return true
}

// end says what follows the items. The first end stays.
func (q *queue[T]) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endLocked(err)
}

func (q *queue[T]) endLocked(err error) {
	if q.err == nil {
		q.err = err
		q.ring()
	}
}

// drop ends it now, without what still waits.
func (q *queue[T]) drop(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items, q.bytes = nil, 0
	q.endLocked(err)
}

func (q *queue[T]) ring() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take waits for the next item, or the end. It is for one goroutine at a time.
func (q *queue[T]) take(ctx context.Context) (item T, err error) {
	for {
		if item, err, ok := q.next(); ok {
			return item, err
		}
		select {
		case <-q.news:
		case <-ctx.Done():
			return item, ctx.Err()
		}
	}
}

func (q *queue[T]) next() (item T, err error, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		q.items = nil // and with it the memory of those that were taken
		return item, q.err, q.err != nil
	}
	first := q.items[0]
	q.items[0] = queued[T]{}
	q.items = q.items[1:]
	q.bytes -= first.size
	return first.item, nil, true
}
