package longpoll

import (
	"container/heap"
	"sync"
	"time"
)

// deadlines calls the method onDeadline of each pollConn at the time for which it was added. One timer for all of them takes
// less memory than one each.
type deadlines struct {
	start time.Time // times are durations since then; static

	mu    sync.Mutex
	queue deadlineQueue
	timer *time.Timer // set for the first in queue; nil: there was none yet
}

// deadlineQueue is a heap; see container/heap.
type deadlineQueue []queuedDeadline

type queuedDeadline struct {
	at   time.Duration
	conn *pollConn // whose field queued is the index
}

// now returns the time as a duration since start.
func (d *deadlines) now() time.Duration { return time.Since(d.start) }

// add calls c.onDeadline at a time. c must not be in the queue.
func (d *deadlines) add(c *pollConn, at time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	heap.Push(&d.queue, queuedDeadline{at, c})
	d.setTimer(c)
}

// remove undoes add. It does nothing if c is not in the queue.
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

// setTimer sets the timer if c is the first in the queue, or c is nil. Called with mu held.
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

// fire calls the pollConns whose time has come.
func (d *deadlines) fire() {
	for _, c := range d.due() {
		c.onDeadline()
	}
}

// due removes the pollConns whose time has come from the queue, and returns them.
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
