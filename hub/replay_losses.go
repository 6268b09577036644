package hub

import (
	"context"
	"time"
)

const (
	lossReadEvents = 2048        // maximum number of events that one read of the log returns for the loss index
	lossInterval   = time.Second // interval between two updates of the loss index
)

// recordRemoved adds an element to the loss index when the in-memory log removes it. The parameter before is
// the seq of the previous element. recordRemoved is the value of memlog.onRemoved.
func (rr *replayReader) recordRemoved(before uint64, e *Event) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if rr.losses.known >= before && rr.losses.known < e.ID.Seq {
		rr.losses.add(e)
	}
}

// maintainLossIndex updates the loss index every lossInterval, so that the index knows the topics of events
// before the durable log removes the events. It also drops old chunks, and calls moveOverdue. It returns when
// the context ends. lowWatermark returns the low watermark of the in-memory log, and lastSeq returns the seq
// of the newest event.
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
			pause.Reset(time.Since(begin)) // so that updates take at most half of the time
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

// searchDeletedRange does one piece of a search; done reports whether the search is complete. The result end
// is the end of the range, which is after s.to if the log has removed more events in the meantime.
func (rr *replayReader) searchDeletedRange(s *rangeSearch, visits int) (end uint64, v lossResult, done bool) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	l := &rr.losses
	if s.from > l.removed {
		v, done = l.searchPending(s, visits)
		return s.to, v, done
	}
	if !l.remove(s.to) {
		return 0, lossResult{}, false
	}
	v, done = l.tree.searchLosses(s.losses, visits)
	if v.kind == certainLoss && s.losses.conflate && l.fromLog {
		v.kind = possibleLoss // the event may have been superseded
	}
	return l.removed, v, done
}

// cancelRangeSearch cancels a search. s may be nil.
func (rr *replayReader) cancelRangeSearch(s *rangeSearch) {
	if s != nil {
		rr.mu.Lock()
		defer rr.mu.Unlock()
		rr.losses.tree.cancelSearch(s.losses)
	}
}
