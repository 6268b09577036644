package hub

import "slices"

// backwardScan finds the position of a start with Last if the in-memory log has too few matching events. It goes
// backward through the log in stretches, and reads each stretch forward in chunks. The boundaries of the stretches
// are the same for all scans, so subscriptions that scan the same part share the chunks.
type backwardScan struct {
	set       FilterSet
	position  uint64   // position before the oldest event that was found, or the newest position if none was
	known     int      // number of matching events in the in-memory log
	missing   int      // number of events that are still to be found
	counted   bool     // missing was reduced to the number of events that the log can have
	scanned   int      // number of chunks that were scanned
	foundSeqs []uint64 // seqs of the events that were found, followed by the first seq of the in-memory log

	// The current stretch is (from, to]. Its events up to scannedTo have been scanned.

	from, scannedTo, to uint64
	inStretch           []uint64 // seqs of the events found in the current stretch
}

// newBackwardScan returns a scan that begins at lowWatermark. The in-memory log has already yielded found of the
// wanted events, of which the oldest follows position.
func newBackwardScan(set FilterSet, lowWatermark, position uint64, found, wanted int) *backwardScan {
	b := &backwardScan{set: set, position: position, known: found, missing: wanted - found, foundSeqs: []uint64{lowWatermark + 1}}
	b.startStretch(lowWatermark)
	return b
}

func (b *backwardScan) startStretch(seq uint64) {
	b.to = seq
	b.from = (max(seq, 1) - 1) / chunkEvents * chunkEvents
	b.scannedTo, b.inStretch = b.from, b.inStretch[:0]
}

// run continues the scan until it has found enough events or has reached the beginning of the log. It returns the
// resulting position. ok is false if a query to the replay reader is pending. Hub.mu must be held.
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
		c, ok := rr.chunkAfter(s, logQuery{seq: b.scannedTo, until: b.to})
		if !ok {
			return 0, false
		}
		b.scanChunk(&c)
	}
	return b.position, true
}

// scanChunk scans a chunk that contains the element after scannedTo.
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

// addFound records the newest of the found events, at most as many as are missing.
func (b *backwardScan) addFound(found []uint64) {
	if n := min(len(found), b.missing); n > 0 {
		newest := found[len(found)-n:]
		b.position = newest[0] - 1
		b.foundSeqs = append(slices.Clone(newest), b.foundSeqs...)
		b.missing -= n
	}
}

// Limits of the use of a Seeker.
const (
	maxSeekFilters  = 64 // a larger filter set is scanned for
	scansBeforeSeek = 4  // for filters with wildcards, so many chunks are scanned before the Seeker is used; most scans end there and cost the log less
	maxSparse       = 64 // so many elements are read one by one in one read
	denseSeqs       = 8  // if so many of the found events are within the length of a chunk, whole chunks are read
)

// usesSeeker reports whether the Seeker is used to find the missing events.
func (b *backwardScan) usesSeeker(rr *replayReader) bool {
	return rr.seeker != nil && b.set.Len() <= maxSeekFilters && (b.set.exact() || b.scanned >= scansBeforeSeek)
}

// sparseSeqs returns the found events that are to be read one by one, the first of which must be seq+1. It returns
// nil if the first is another one, or if the found events are so dense that whole chunks are read.
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
