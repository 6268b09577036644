package hub

import (
	"context"
	"time"
)

// Bounds of what is known of the log's oldest events.
const (
	maxTail      = 65536 // events that may go until the log is looked at again, with their gaps exact
	tailChunk    = 2048
	tailInterval = time.Second
)

// tail knows what the log has let go, topic by topic, as far back as Retention.GapTopics allows: an
// event's topic must be known before it is gone. The window gives what it lets go; of a log much
// longer than that, the oldest events are read shortly before their end. Guarded by archive.mu.
type tail struct {
	lost    topicTree // of what went; it has no logs
	next    deque[tailed]
	removed uint64 // all up to here is gone
	order   int64  // latest time of an event up to known, as in Event
	known   uint64 // what is left of (removed, known] is in next
	read    bool   // some of next was read from the log, so that nobody knows whether it was superseded
}

// tailed is an event that will go; one without a topic is a hole.
type tailed struct {
	seq        uint64
	at         int64 // see order
	topic      string
	superseded bool
	erased     bool
}

// add takes the element that follows what is known, if there is room.
func (t *tail) add(e *Event) {
	switch {
	case t.next.len() == maxTail:
	case e.Erases != 0:
		t.known = e.ID.Seq
	default:
		if e.Topic != "" {
			t.order = max(t.order, e.order, e.Time.UnixNano())
		}
		t.next.push(tailed{seq: e.ID.Seq, at: t.order, topic: e.Topic, superseded: e.superseded})
		t.known = e.ID.Seq
		if e.Topic != "" {
			t.forgottenBefore(t.order)
		}
	}
}

// remove notes that the log is gone up to seq. It lets go of at most maxRemovals elements, and reports
// whether none is left to go.
func (t *tail) remove(seq uint64) (done bool) {
	for range maxRemovals {
		if t.next.len() == 0 || t.next.at(0).seq > seq {
			if seq > t.known {
				t.known = seq
				t.lost.forgotten = mark{seq: seq}
			}
			t.removed = max(t.removed, seq)
			return true
		}
		e := t.next.pop()
		t.removed = max(t.removed, e.seq)
		if e.erased {
			continue
		}
		if e.topic == "" {
			t.lost.forgotten = mark{seq: e.seq}
			continue
		}
		t.lost.lose(t.lost.at(e.topic), e.topic, mark{e.seq, e.at}, e.superseded)
	}
	return false
}

// forgottenBefore notes when the events that nobody knows were accepted at the latest.
func (t *tail) forgottenBefore(at int64) {
	if f := &t.lost.forgotten; f.seq > 0 && f.at == 0 {
		f.at = at
	}
}

// passed takes what the window lets go. before is up to where it had let go.
func (a *archive) passed(before uint64, e *Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tail.known >= before && a.tail.known < e.ID.Seq {
		a.tail.add(e)
	}
}

// watch keeps the tail ahead of what the log lets go, and the chunks fresh, until the context ends. floor
// gives up to where the window has let go, head the newest event.
func (a *archive) watch(ctx context.Context, floor, head func() uint64) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		begin := time.Now()
		a.tidy(begin)
		more := a.lookAtTail(ctx, floor(), head())
		pause.Reset(tailInterval)
		if more {
			pause.Reset(time.Since(begin)) // it leaves half of the time to others
		}
	}
}

// lookAtTail finds out what is gone, and reads on if the window will not tell what goes next. It
// reports whether there is more to read at once.
func (a *archive) lookAtTail(ctx context.Context, floor, head uint64) (more bool) {
	a.mu.Lock()
	removed := a.tail.removed
	a.mu.Unlock()
	if removed >= head {
		return false
	}
	first, err := a.log.ReadAfter(ctx, removed, ReadLimit{Events: 1, Bytes: 1})
	if err != nil {
		return false
	}
	a.mu.Lock()
	switch {
	case first[0].Erases != 0:
		a.tail.skip(first[0].ID.Seq)
		more = true
	case first[0].Topic == "":
		for !a.tail.remove(min(first[0].ID.Seq, floor)) { // what follows is in the window, and will be passed
			a.mu.Unlock()
			a.mu.Lock()
		}
	}
	known, room := a.tail.known, maxTail-a.tail.next.len()
	a.mu.Unlock()
	if known >= floor || room < maxTail/2 {
		return more
	}
	fetch := func() ([]*Event, error) {
		return a.log.ReadAfter(ctx, known, ReadLimit{Events: tailChunk, Bytes: chunkBytes})
	}
	err = a.read(fetch, func(elements []*Event) {
		for _, e := range elements {
			if e.ID.Seq > a.tail.known {
				a.tail.add(e)
				a.tail.read = true
			}
		}
	})
	return err == nil
}
