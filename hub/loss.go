package hub

import "time"

// mark is the newest removal of some kind: its seq, and when that event had been accepted.
type mark struct {
	seq uint64
	at  time.Time
}

// loss is what the window remembers of one topic from which it has let events go.
type loss struct {
	topic string
	any   mark // the newest removed
	// live is the newest removed that no later event of its topic and key had superseded: for a
	// subscriber that conflates, the others are no loss.
	live mark

	older, newer *loss // in the order of any.seq
}

// lossLog remembers which topics lost what, for the last limit topics that lost something. Since
// the window lets go of the oldest first, a removal is always newer than all before it, and the
// topic that is forgotten is the one whose loss is oldest.
type lossLog struct {
	limit          int // topics; static
	topics         map[string]*loss
	oldest, newest *loss
	forgotten      mark // the newest removal that may have been forgotten
}

func newLossLog(limit int, floor uint64) lossLog {
	return lossLog{limit: limit, topics: make(map[string]*loss), forgotten: mark{seq: floor}}
}

// add remembers that e was let go.
func (l *lossLog) add(e *Event) {
	m := mark{seq: e.ID.Seq, at: e.Time}
	if l.limit == 0 {
		l.forgotten = m
		return
	}
	t := l.topics[e.Topic]
	if t == nil {
		t = &loss{topic: e.Topic}
		l.topics[e.Topic] = t
	} else {
		l.unlink(t)
	}
	t.any = m
	if !e.superseded {
		t.live = m
	}
	l.link(t)
	if len(l.topics) > l.limit {
		l.forgotten = l.oldest.any
		delete(l.topics, l.oldest.topic)
		l.unlink(l.oldest)
	}
}

func (l *lossLog) link(t *loss) {
	t.older, t.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = t
	} else {
		l.oldest = t
	}
	l.newest = t
}

func (l *lossLog) unlink(t *loss) {
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		l.oldest = t.newer
	}
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		l.newest = t.older
	}
}

// find says whether something that the set selects was removed, of what late accepts: a test by
// seq or by time that is true from some removal on. certain means that it was, possible that it
// may have been and is forgotten; seq is of a removal that is to blame.
func (l *lossLog) find(set FilterSet, conflate bool, late func(mark) bool) (seq uint64, certain, possible bool) {
	pick := func(t *loss) mark {
		if conflate {
			return t.live
		}
		return t.any
	}
	if set.exact() {
		for _, f := range set.filters {
			if t := l.topics[f.text]; t != nil && late(pick(t)) {
				return pick(t).seq, true, true
			}
		}
	} else {
		for t := l.newest; t != nil && late(t.any); t = t.older {
			if late(pick(t)) && set.Match(t.topic) {
				return pick(t).seq, true, true
			}
		}
	}
	return l.forgotten.seq, false, set.Len() > 0 && late(l.forgotten)
}
