package hub

// maxPendingRemovals is the maximum length of lossIndex.pending. If the log removes more elements
// between two updates of the index, gaps become inexact.
const maxPendingRemovals = 65536

// lossIndex is the trimmed-topic index: it records which topics lost events to the retention of the durable log.
// Retention.GapTopics limits the number of topics. The index must contain the topic of an event before the log removes
// the event. Therefore the in-memory log passes the events that it removes to the index. If the durable log is much
// longer than the in-memory log, the index reads the oldest events from the durable log. Guarded by replayReader.mu.
type lossIndex struct {
	tree    topicTree // losses by topic; it contains no events
	pending deque[logElement]
	removed uint64 // all elements up to this seq have been removed
	maxTime int64  // maximum Time of the events up to known, see Event.maxTime
	known   uint64 // pending contains all elements after removed, up to this seq
	fromLog bool   // pending contains elements that were read from the log, for which superseded is unknown
}

// logElement is an element that retention will remove from the log. If topic is empty, it is a deleted range.
type logElement struct {
	seq        uint64
	maxTime    int64 // see Event.maxTime
	topic      string
	superseded bool
	erased     bool
}

// add appends e to pending if there is room. e must be the first element after l.known.
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

// remove records that the log has removed all elements up to seq. One call records at most maxRemovals
// elements; done reports whether all of them are recorded.
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

// setForgottenTime sets the time of the forgotten losses, if it is not known yet. The parameter at is the
// maxTime of the first known event; no earlier event has a later time.
func (l *lossIndex) setForgottenTime(at int64) {
	if f := &l.tree.forgotten; f.seq > 0 && f.time == 0 {
		f.time = at
	}
}

// erase marks the event as erased, so that its removal from the log is not counted as a loss.
func (l *lossIndex) erase(seq uint64) {
	i := l.pending.search(func(e logElement) bool { return e.seq >= seq })
	if i < l.pending.len() && l.pending.at(i).seq == seq && l.pending.at(i).topic != "" {
		l.pending.set(i, logElement{seq: seq, erased: true})
	}
}

// skipErased records that all events after l.removed and up to seq were erased.
func (l *lossIndex) skipErased(seq uint64) {
	for l.pending.len() > 0 && l.pending.at(0).seq <= seq {
		l.pending.pop()
	}
	l.removed, l.known = max(l.removed, seq), max(l.known, seq)
}

// rangeSearch is a search for lost events in the deleted range (from, to] of the log. The field losses
// contains the filters that the events must match. Each call of searchDeletedRange does one piece of the
// search.
type rangeSearch struct {
	from, to uint64
	losses   *lossSearch

	// These fields are used if the log has events before the range.

	searchedTo uint64 // pending elements up to this seq have been searched
	unknown    bool   // the pending elements searched so far include a deleted range, whose topics are not known
}

// searchPending searches a deleted range that is not at the beginning of the log. The elements of such a
// range are still pending.
func (l *lossIndex) searchPending(s *rangeSearch, visits int) (v lossResult, done bool) {
	switch {
	case s.losses.set.Len() == 0:
		return lossResult{}, true
	case s.to > l.known:
		return lossResult{kind: possibleLoss}, true
	}
	var scratch topicTokens
	for i := l.pending.search(func(e logElement) bool { return e.seq > s.searchedTo }); i < l.pending.len() && l.pending.at(i).seq <= s.to; i++ {
		if visits--; visits < 0 {
			return lossResult{}, false
		}
		e := l.pending.at(i)
		if s.searchedTo = e.seq; e.erased {
			continue
		}
		if e.topic == "" {
			s.unknown = true
		} else if s.losses.set.match(&scratch, e.topic) {
			return lossResult{kind: certainLoss}, true
		}
	}
	if s.unknown {
		return lossResult{kind: possibleLoss}, true
	}
	return lossResult{}, true
}
