package hub

import "slices"

// trace finds where the newest events of a set begin, of which the window has too few. It goes back
// through the log, stretch after stretch, each of which is read forwards in chunks. The stretches are
// the same for all, so that who comes by the same way has them of the archive at once.
type trace struct {
	set      FilterSet
	position uint64   // before the oldest that was found, or the newest of all
	known    int      // events that the window had
	missing  int      // events that are still looked for
	counted  bool     // missing is no more than the log can have
	over     bool     // the position has been given
	scanned  int      // chunks
	stops    []uint64 // the events that were found, and the first seq of the window then

	// of (from, to], the stretch, what is up to at was looked at

	from, at, to uint64
	found        []uint64 // seqs
}

// newTrace begins before floor: after it found events of the set have been found, from position on.
func newTrace(set FilterSet, floor, position uint64, found, wanted int) *trace {
	t := &trace{set: set, position: position, known: found, missing: wanted - found, stops: []uint64{floor + 1}}
	t.goBefore(floor)
	return t
}

// pending reports that there is a trace which has not given its position.
func (t *trace) pending() bool { return t != nil && !t.over }

func (t *trace) goBefore(seq uint64) {
	t.to = seq
	t.from = (max(seq, 1) - 1) / chunkEvents * chunkEvents
	t.at, t.found = t.from, t.found[:0]
}

// back goes on until it has found enough or the log begins, and gives the position. If it has to wait
// for the archive, ok is false. Called with Hub.mu held.
func (t *trace) back(s *Subscription) (position uint64, ok bool) {
	a := s.hub.archive
	if begin := a.begin(); t.to > begin && !t.counted && !t.seeks(a) {
		n, ok := a.number(s, inquiry{kind: askCount, set: t.set, enough: t.known + t.missing})
		if !ok {
			return 0, false
		}
		t.missing, t.counted = min(t.missing, max(0, int(n)-t.known)), true
	}
	for t.missing > 0 && t.to > a.begin() {
		if t.seeks(a) {
			r, ok := a.reply(s, inquiry{kind: askNewest, seq: t.to, set: t.set, enough: t.missing})
			if ok {
				t.add(r.seqs)
			}
			return t.position, ok
		}
		t.scanned++
		c, ok := a.after(s, t.at, nil, t.to)
		if !ok {
			return 0, false
		}
		t.take(&c)
	}
	return t.position, true
}

// take looks at a chunk that at stands in.
func (t *trace) take(c *chunk) {
	for _, e := range c.elements {
		if seq := e.ID.Seq; t.at < seq && seq <= t.to && e.Topic != "" && t.set.Match(e.Topic) {
			t.found = append(t.found, seq)
		}
	}
	if t.at = c.to; t.at < t.to {
		return
	}
	t.add(t.found)
	t.goBefore(t.from)
}

// add takes the newest of the events that were found, as many as are missing.
func (t *trace) add(found []uint64) {
	if n := min(len(found), t.missing); n > 0 {
		newest := found[len(found)-n:]
		t.position = newest[0] - 1
		t.stops = append(slices.Clone(newest), t.stops...)
		t.missing -= n
	}
}

// Bounds of seeking.
const (
	maxSought     = 64 // filters of a set
	scannedBefore = 4  // chunks that are scanned for wildcards first: most are found there, at less cost to the log
	maxEach       = 64 // elements that are read one by one
	nearStops     = 8  // that lie within a chunk's length are read with all that lies between them
)

// seeks reports that the log is asked for the rest of what is missing.
func (t *trace) seeks(a *archive) bool {
	return a.seek != nil && t.set.Len() <= maxSought && (t.set.exact() || t.scanned >= scannedBefore)
}

// apart returns the events that are to be read one by one, beginning right after seq; nil if a chunk has
// several of them, or seq is elsewhere.
func (t *trace) apart(a *archive, seq uint64) []uint64 {
	if a.seek == nil || t == nil || len(t.stops) < 2 || t.stops[0] != seq+1 {
		return nil
	}
	events := t.stops[:len(t.stops)-1]
	if len(events) >= nearStops && events[nearStops-1] < seq+chunkEvents {
		return nil
	}
	return events
}
