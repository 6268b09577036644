package hub

import (
	"context"
	"time"
)

// These are the limits of the loss index.
const (
	maxPendingRemovals = 65536 // number of elements that may be removed between two updates without making gaps inexact
	lossReadEvents     = 2048
	lossInterval       = time.Second
)

// lossIndex is the trimmed-topic index: it records which topics lost events to the retention of the durable log.
// Retention.GapTopics limits the number of topics. The index must learn the topic of an event before the log
// removes the event. It receives the events that the in-memory log removes. If the durable log is much longer, it
// reads the oldest events from the durable log. Guarded by replayReader.mu.
type lossIndex struct {
	tree    topicTree // losses by topic; it contains no events
	pending deque[logElement]
	removed uint64 // all elements up to this seq have been removed
	maxTime int64  // maximum Time of the events up to known, see Event.maxTime
	known   uint64 // pending has the remaining elements up to this seq
	fromLog bool   // pending has elements that were read from the log, for which superseded is unknown
}

// logElement is an element that retention will remove from the log. If topic is empty, it is a deleted range.
type logElement struct {
	seq        uint64
	maxTime    int64 // see Event.maxTime
	topic      string
	superseded bool
	erased     bool
}

// add appends the element after known, if there is room.
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

// remove records that the log has removed all elements up to seq. One call records at most maxRemovals elements,
// and reports whether none is left.
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

// setForgottenTime sets the time of the forgotten losses, if it is not known yet. Events before the first known one
// cannot have a later time than that event.
func (l *lossIndex) setForgottenTime(at int64) {
	if f := &l.tree.forgotten; f.seq > 0 && f.time == 0 {
		f.time = at
	}
}

// recordRemoved adds an element that the in-memory log removes. before is the seq of the element before it. It is
// used as memlog.onRemoved.
func (rr *replayReader) recordRemoved(before uint64, e *Event) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if rr.losses.known >= before && rr.losses.known < e.ID.Seq {
		rr.losses.add(e)
	}
}

// maintainLossIndex updates the loss index before the log removes further events, and drops old chunks, until the
// context ends. lowWatermark returns the low watermark of the in-memory log, and lastSeq the seq of the newest
// event.
func (rr *replayReader) maintainLossIndex(ctx context.Context, lowWatermark, lastSeq func() uint64) {
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
		rr.moveOverdue(begin)
		more := rr.updateLossIndex(ctx, lowWatermark(), lastSeq())
		pause.Reset(lossInterval)
		if more {
			pause.Reset(time.Since(begin)) // use at most half of the time
		}
	}
}

// updateLossIndex determines which elements the log has removed. It also reads elements that will be removed next,
// unless the in-memory log supplies them. It reports whether it should be called again at once.
func (rr *replayReader) updateLossIndex(ctx context.Context, lowWatermark, lastSeq uint64) (more bool) {
	rr.mu.Lock()
	removed := rr.losses.removed
	rr.mu.Unlock()
	if removed >= lastSeq {
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
		for !rr.losses.remove(min(first[0].ID.Seq, lowWatermark)) { // the in-memory log supplies later elements
			rr.mu.Unlock()
			rr.mu.Lock()
		}
	}
	known, room := rr.losses.known, maxPendingRemovals-rr.losses.pending.len()
	rr.mu.Unlock()
	if known >= lowWatermark || room < maxPendingRemovals/2 {
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
