package hub

// maxMerge is how many topics that wildcards select have their events merged; more are found by
// looking at every event.
const maxMerge = 64

// merge steps through events in the order of seq, or back, from several logs.
type merge struct {
	heads []head // a heap: the next event is that of the first
	back  bool
}

// head is where a log stands.
type head struct {
	seq uint64 // of the event at that index
	at  int
	log *deque[*Event]
}

// merge steps through events among which all those of the set are that follow seq, or, back, that come
// before it: through its topics' own where they are few, so that a resume costs what was missed, else
// through all. Scattered is set where the topics are not few; a later call for the same set that is given it
// does not look for them again.
func (w *window) merge(set FilterSet, seq uint64, back bool, scattered *bool) merge {
	after := seq
	if back {
		after = 0
	}
	logs := []*deque[*Event]{&w.events}
	if !*scattered {
		if own, ok := w.topics.logs(set, after); ok {
			logs = own
		} else {
			*scattered = true
		}
	}
	m := merge{heads: make([]head, 0, len(logs)), back: back}
	for _, log := range logs {
		at := firstAfter(log, seq)
		if back {
			at = firstAfter(log, seq-1) - 1
		}
		if at >= 0 && at < log.len() {
			m.heads = append(m.heads, head{log.at(at).ID.Seq, at, log})
		}
	}
	for i := len(m.heads)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m
}

// next returns the next event, nil if there is none.
func (m *merge) next() *Event {
	if len(m.heads) == 0 {
		return nil
	}
	first := &m.heads[0]
	e := first.log.at(first.at)
	if m.back {
		first.at--
	} else {
		first.at++
	}
	if first.at >= 0 && first.at < first.log.len() {
		first.seq = first.log.at(first.at).ID.Seq
	} else {
		last := len(m.heads) - 1
		m.heads[0] = m.heads[last]
		m.heads = m.heads[:last]
	}
	m.sink(0)
	return e
}

// sink has a head change places with those under it that come before it.
func (m *merge) sink(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.heads); child++ {
			if m.before(child, first) {
				first = child
			}
		}
		if first == i {
			return
		}
		m.heads[i], m.heads[first] = m.heads[first], m.heads[i]
		i = first
	}
}

func (m *merge) before(i, j int) bool { return m.heads[i].seq < m.heads[j].seq != m.back }

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
