package hub

import (
	"context"
	"time"
)

// Bounds of what is known of the log's oldest events.
const (
	maxPendingRemovals = 65536 // events that may go until the log is looked at again, with their gaps exact
	lossReadEvents     = 2048
	lossInterval       = time.Second
)

// lossIndex knows what the log has let go, topic by topic, as far back as Retention.GapTopics allows: an
// event's topic must be known before it is gone. The window gives what it lets go; of a log much
// longer than that, the oldest events are read shortly before their end. Guarded by replayReader.mu.
type lossIndex struct {
	tree    topicTree // of what went; it has no logs
	pending deque[logElement]
	removed uint64 // all up to here is gone
	maxTime int64  // latest time of an event up to known, as in Event
	known   uint64 // what is left of (removed, known] is in next
	fromLog bool   // some of next was read from the log, so that nobody knows whether it was superseded
}

// logElement is an event that will go; one without a topic is a hole.
type logElement struct {
	seq        uint64
	maxTime    int64 // see order
	topic      string
	superseded bool
	erased     bool
}

// add takes the element that follows what is known, if there is room.
func (l *lossIndex) add(e *Event) {
	switch {
	case l.pending.len() == maxPendingRemovals:
	case e.Erases != 0:
		l.known = e.ID.Seq
	default:
		if e.Topic != "" {
			l.maxTime = max(l.maxTime, e.maxTime, e.Time.UnixNano())
		}
		l.pending.push(logElement{seq: e.ID.Seq, maxTime: l.maxTime, topic: e.Topic, superseded: e.superseded})
		l.known = e.ID.Seq
		if e.Topic != "" {
			l.setForgottenTime(l.maxTime)
		}
	}
}

// remove notes that the log is gone up to seq. It lets go of at most maxRemovals elements, and reports
// whether none is left to go.
func (l *lossIndex) remove(seq uint64) (done bool) {
	for range maxRemovals {
		if l.pending.len() == 0 || l.pending.at(0).seq > seq {
			if seq > l.known {
				l.known = seq
				l.tree.forgotten = lossMark{seq: seq}
			}
			l.removed = max(l.removed, seq)
			return true
		}
		e := l.pending.pop()
		l.removed = max(l.removed, e.seq)
		if e.erased {
			continue
		}
		if e.topic == "" {
			l.tree.forgotten = lossMark{seq: e.seq}
			continue
		}
		l.tree.recordLoss(l.tree.nodeOf(e.topic), e.topic, lossMark{e.seq, e.maxTime}, e.superseded)
	}
	return false
}

// setForgottenTime notes when the events that nobody knows were accepted at the latest.
func (l *lossIndex) setForgottenTime(at int64) {
	if f := &l.tree.forgotten; f.seq > 0 && f.time == 0 {
		f.time = at
	}
}

// recordRemoved takes what the window lets go. before is up to where it had let go.
func (rr *replayReader) recordRemoved(before uint64, e *Event) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if rr.losses.known >= before && rr.losses.known < e.ID.Seq {
		rr.losses.add(e)
	}
}

// maintainLossIndex keeps the tail ahead of what the log lets go, and the chunks fresh, until the context ends. floor
// gives up to where the window has let go, head the newest event.
func (rr *replayReader) maintainLossIndex(ctx context.Context, floor, head func() uint64) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		begin := time.Now()
		rr.dropOldChunks(begin)
		more := rr.updateLossIndex(ctx, floor(), head())
		pause.Reset(lossInterval)
		if more {
			pause.Reset(time.Since(begin)) // it leaves half of the time to others
		}
	}
}

// updateLossIndex finds out what is gone, and reads on if the window will not tell what goes next. It
// reports whether there is more to read at once.
func (rr *replayReader) updateLossIndex(ctx context.Context, floor, head uint64) (more bool) {
	rr.mu.Lock()
	removed := rr.losses.removed
	rr.mu.Unlock()
	if removed >= head {
		return false
	}
	first, err := rr.log.ReadAfter(ctx, removed, ReadLimit{Events: 1, Bytes: 1})
	if err != nil {
		return false
	}
	rr.mu.Lock()
	switch {
	case first[0].Erases != 0:
		rr.losses.skipErased(first[0].ID.Seq)
		more = true
	case first[0].Topic == "":
		for !rr.losses.remove(min(first[0].ID.Seq, floor)) { // what follows is in the window, and will be passed
			rr.mu.Unlock()
			rr.mu.Lock()
		}
	}
	known, room := rr.losses.known, maxPendingRemovals-rr.losses.pending.len()
	rr.mu.Unlock()
	if known >= floor || room < maxPendingRemovals/2 {
		return more
	}
	fetch := func() ([]*Event, error) {
		return rr.log.ReadAfter(ctx, known, ReadLimit{Events: lossReadEvents, Bytes: chunkBytes})
	}
	err = rr.read(fetch, func(elements []*Event) {
		for _, e := range elements {
			if e.ID.Seq > rr.losses.known {
				rr.losses.add(e)
				rr.losses.fromLog = true
			}
		}
	})
	return err == nil
}
