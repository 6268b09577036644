package hub

import "slices"

// backwardScan finds where the newest events of a set begin, of which the window has too few. It goes back
// through the log, stretch after stretch, each of which is read forwards in chunks. The stretches are
// the same for all, so that who comes by the same way has them of the archive at once.
type backwardScan struct {
	set       FilterSet
	position  uint64   // before the oldest that was found, or the newest of all
	known     int      // events that the window had
	missing   int      // events that are still looked for
	counted   bool     // missing is no more than the log can have
	finished  bool     // the position has been given
	scanned   int      // chunks
	foundSeqs []uint64 // the events that were found, and the first seq of the window then

	// of (from, to], the stretch, what is up to at was looked at

	from, scannedTo, to uint64
	inStretch           []uint64 // seqs
}

// newBackwardScan begins before floor: after it found events of the set have been found, from position on.
func newBackwardScan(set FilterSet, floor, position uint64, found, wanted int) *backwardScan {
	b := &backwardScan{set: set, position: position, known: found, missing: wanted - found, foundSeqs: []uint64{floor + 1}}
	b.startStretch(floor)
	return b
}

// pending reports that there is a trace which has not given its position.
func (b *backwardScan) pending() bool { return b != nil && !b.finished }

func (b *backwardScan) startStretch(seq uint64) {
	b.to = seq
	b.from = (max(seq, 1) - 1) / chunkEvents * chunkEvents
	b.scannedTo, b.inStretch = b.from, b.inStretch[:0]
}

// run goes on until it has found enough or the log begins, and gives the position. If it has to wait
// for the archive, ok is false. Called with Hub.mu held.
func (b *backwardScan) run(s *Subscription) (position uint64, ok bool) {
	rr := s.hub.replay
	if begin := rr.removedTo(); b.to > begin && !b.counted && !b.usesSeeker(rr) {
		n, ok := rr.queryNumber(s, logQuery{kind: queryCount, set: b.set, enough: b.known + b.missing})
		if !ok {
			return 0, false
		}
		b.missing, b.counted = min(b.missing, max(0, int(n)-b.known)), true
	}
	for b.missing > 0 && b.to > rr.removedTo() {
		if b.usesSeeker(rr) {
			r, ok := rr.query(s, logQuery{kind: queryNewest, seq: b.to, set: b.set, enough: b.missing})
			if ok {
				b.addFound(r.seqs)
			}
			return b.position, ok
		}
		b.scanned++
		c, ok := rr.chunkAfter(s, b.scannedTo, nil, b.to)
		if !ok {
			return 0, false
		}
		b.scanChunk(&c)
	}
	return b.position, true
}

// scanChunk looks at a chunk that at stands in.
func (b *backwardScan) scanChunk(c *chunk) {
	for _, e := range c.elements {
		if seq := e.ID.Seq; b.scannedTo < seq && seq <= b.to && e.Topic != "" && b.set.Match(e.Topic) {
			b.inStretch = append(b.inStretch, seq)
		}
	}
	if b.scannedTo = c.to; b.scannedTo < b.to {
		return
	}
	b.addFound(b.inStretch)
	b.startStretch(b.from)
}

// addFound takes the newest of the events that were found, as many as are missing.
func (b *backwardScan) addFound(found []uint64) {
	if n := min(len(found), b.missing); n > 0 {
		newest := found[len(found)-n:]
		b.position = newest[0] - 1
		b.foundSeqs = append(slices.Clone(newest), b.foundSeqs...)
		b.missing -= n
	}
}

// Bounds of seeking.
const (
	maxSeekFilters  = 64 // filters of a set
	scansBeforeSeek = 4  // chunks that are scanned for wildcards first: most are found there, at less cost to the log
	maxSparse       = 64 // elements that are read one by one
	denseSeqs       = 8  // that lie within a chunk's length are read with all that lies between them
)

// usesSeeker reports that the log is asked for the rest of what is missing.
func (b *backwardScan) usesSeeker(rr *replayReader) bool {
	return rr.seeker != nil && b.set.Len() <= maxSeekFilters && (b.set.exact() || b.scanned >= scansBeforeSeek)
}

// sparseSeqs returns the events that are to be read one by one, beginning right after seq; nil if a chunk has
// several of them, or seq is elsewhere.
func (b *backwardScan) sparseSeqs(rr *replayReader, seq uint64) []uint64 {
	if rr.seeker == nil || b == nil || len(b.foundSeqs) < 2 || b.foundSeqs[0] != seq+1 {
		return nil
	}
	events := b.foundSeqs[:len(b.foundSeqs)-1]
	if len(events) >= denseSeqs && events[denseSeqs-1] < seq+chunkEvents {
		return nil
	}
	return events
}
