package longpoll

import (
	"container/heap"
	"sync"
	"time"
)

// deadlines calls onDeadline of pollConns at given times. It uses one timer for all pollConns, which
// takes less memory than one timer per pollConn.
type deadlines struct {
	start time.Time // all times are durations since start; static

	mu    sync.Mutex
	queue deadlineQueue
	timer *time.Timer // fires at the earliest time in queue; nil until the first pollConn is added
}

// deadlineQueue is a heap; see container/heap.
type deadlineQueue []queuedDeadline

type queuedDeadline struct {
	at   time.Duration
	conn *pollConn // conn.queued is the index of this element in the queue
}

// now returns the current time as a duration since d.start.
func (d *deadlines) now() time.Duration { return time.Since(d.start) }

// add schedules a call of c.onDeadline at the given time. c must not be in the queue.
func (d *deadlines) add(c *pollConn, at time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	heap.Push(&d.queue, queuedDeadline{at, c})
	d.setTimer(c)
}

// remove cancels the call that add has scheduled. It does nothing if c is not in the queue.
func (d *deadlines) remove(c *pollConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := int(c.queued); i < len(d.queue) && d.queue[i].conn == c {
		heap.Remove(&d.queue, i)
	}
	if len(d.queue) == 0 && d.timer != nil {
		d.timer.Stop()
	}
}

// setTimer sets the timer to the earliest time in the queue. If c is not nil, it does so only if c is
// first in the queue. mu must be held.
func (d *deadlines) setTimer(c *pollConn) {
	if len(d.queue) == 0 || c != nil && d.queue[0].conn != c {
		return
	}
	in := d.queue[0].at - d.now()
	if d.timer == nil {
		d.timer = time.AfterFunc(in, d.fire)
	} else {
		d.timer.Reset(in)
	}
}

// fire calls onDeadline of each pollConn that is due.
func (d *deadlines) fire() {
	for _, c := range d.due() {
		c.onDeadline()
	}
}

// due returns the pollConns whose time has been reached, and removes them from the queue.
func (d *deadlines) due() (due []*pollConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for now := d.now(); len(d.queue) > 0 && d.queue[0].at <= now; {
		due = append(due, heap.Pop(&d.queue).(queuedDeadline).conn)
	}
	d.setTimer(nil)
	return due
}

// Len implements heap.Interface.
func (q deadlineQueue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q deadlineQueue) Less(i, j int) bool { return q[i].at < q[j].at }

// Swap implements heap.Interface.
func (q deadlineQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].conn.queued, q[j].conn.queued = int32(i), int32(j)
}

// Push implements heap.Interface.
func (q *deadlineQueue) Push(x any) {
	e := x.(queuedDeadline)
	e.conn.queued = int32(len(*q))
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *deadlineQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = queuedDeadline{}
	*q = (*q)[:last]
	return e
}
