package hub

// maxMerge is how many topics that wildcards select have their events merged; more are found by
// looking at every event.
const maxMerge = 64

// eventMerge steps through events in the order of seq, or back, from several logs.
type eventMerge struct {
	sources  []mergeSource // a heap: the next event is that of the first
	backward bool
}

// mergeSource is where a log stands.
type mergeSource struct {
	seq   uint64 // of the event at that index
	index int
	log   *deque[*Event]
}

// merge steps through events among which all those of the set are that follow seq, or, back, that come
// before it: through its topics' own where they are few, so that a resume costs what was missed, else
// through all. Scattered is set where the topics are not few; a later call for the same set that is given it
// does not look for them again.
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

// next returns the next event, nil if there is none.
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

// siftDown has a head change places with those under it that come before it.
func (m *eventMerge) siftDown(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.sources); child++ {
			if m.comesBefore(child, first) {
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

func (m *eventMerge) comesBefore(i, j int) bool {
	return m.sources[i].seq < m.sources[j].seq != m.backward
}

// firstAfter returns the index of the first event past seq.
func firstAfter(d *deque[*Event], seq uint64) int {
	// Readers are mostly at the end, and seqs mostly follow each other without a hole.
	if n := d.len(); n > 0 {
		if newest := d.at(n - 1).ID.Seq; newest <= seq {
			return n
		} else if i := n - 1 - int(min(newest-seq, uint64(n))); i >= 0 && d.at(i).ID.Seq == seq {
			return i + 1
		}
	}
	return d.search(func(e *Event) bool { return e.ID.Seq > seq })
}
