package hub

// maxMerge is the largest number of topics, selected by wildcards, whose logs are merged. If wildcards select more,
// all events are visited.
const maxMerge = 64

// eventMerge iterates over the events of several logs in ascending or descending order of seq.
type eventMerge struct {
	sources  []mergeSource // a heap: the first has the next event
	backward bool
}

// mergeSource is a position in one log.
type mergeSource struct {
	seq   uint64 // seq of the event at index
	index int
	log   *deque[*Event]
}

// merge returns an iterator over the events after seq, in ascending order, or over the events before seq, in descending
// order. It includes all events that match the set, and possibly others. If the set selects few topics, it merges the
// logs of these topics, so that the cost of a resume depends only on the missed events. Otherwise it iterates over all
// events and sets scattered. The caller passes scattered to later calls with the same set, so that they do not search
// for the topics again.
func (l *memlog) merge(set FilterSet, seq uint64, back bool, scattered *bool) eventMerge {
	after := seq
	if back {
		after = 0
	}
	logs := []*deque[*Event]{&l.events}
	if !*scattered {
		if own, ok := l.topics.logs(set, after); ok {
			logs = own
		} else {
			*scattered = true
		}
	}
	m := eventMerge{sources: make([]mergeSource, 0, len(logs)), backward: back}
	for _, log := range logs {
		at := firstAfter(log, seq)
		if back {
			at = firstAfter(log, seq-1) - 1
		}
		if at >= 0 && at < log.len() {
			m.sources = append(m.sources, mergeSource{log.at(at).ID.Seq, at, log})
		}
	}
	for i := len(m.sources)/2 - 1; i >= 0; i-- {
		m.siftDown(i)
	}
	return m
}

// next returns the next event, or nil if there is none.
func (m *eventMerge) next() *Event {
	if len(m.sources) == 0 {
		return nil
	}
	first := &m.sources[0]
	e := first.log.at(first.index)
	if m.backward {
		first.index--
	} else {
		first.index++
	}
	if first.index >= 0 && first.index < first.log.len() {
		first.seq = first.log.at(first.index).ID.Seq
	} else {
		last := len(m.sources) - 1
		m.sources[0] = m.sources[last]
		m.sources = m.sources[:last]
	}
	m.siftDown(0)
	return e
}

// siftDown moves source i down the heap to its place.
func (m *eventMerge) siftDown(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.sources); child++ {
			if m.precedes(child, first) {
				first = child
			}
		}
		if first == i {
			return
		}
		m.sources[i], m.sources[first] = m.sources[first], m.sources[i]
		i = first
	}
}

func (m *eventMerge) precedes(i, j int) bool {
	return m.sources[i].seq < m.sources[j].seq != m.backward
}

// firstAfter returns the index of the first event after seq.
func firstAfter(d *deque[*Event], seq uint64) int {
	// Fast path: usually the reader is near the end of the log, and the seqs there are consecutive.
	if n := d.len(); n > 0 {
		if newest := d.at(n - 1).ID.Seq; newest <= seq {
			return n
		} else if i := n - 1 - int(min(newest-seq, uint64(n))); i >= 0 && d.at(i).ID.Seq == seq {
			return i + 1
		}
	}
	return d.search(func(e *Event) bool { return e.ID.Seq > seq })
}
