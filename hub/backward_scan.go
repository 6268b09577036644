package hub

import (
	"context"
	"slices"
)

// backwardScan finds the start position of a subscription with Start.Last if the in-memory log contains
// too few matching events. It divides the durable log into stretches and visits them from the newest to
// the oldest. It reads each stretch forward, in chunks. The boundaries of the stretches are the same
// for all scans, so scans of the same part share the chunks.
type backwardScan struct {
	newestEvents
	counted   bool     // wanted is at most the number of matching events in the log
	scanned   int      // number of chunks that were scanned
	foundSeqs []uint64 // seqs of the events that were found, followed by the first seq of the in-memory log

	// The current stretch is (from, to]. Its events up to scannedTo have been scanned.

	from, scannedTo, to uint64
	inStretch           []uint64 // seqs of the events found in the current stretch
}

// newBackwardScan returns a scan that begins at the low watermark of the in-memory log.
func newBackwardScan(last newestEvents) *backwardScan {
	b := &backwardScan{newestEvents: last, foundSeqs: []uint64{last.lowWatermark + 1}}
	b.startStretch(last.lowWatermark)
	return b
}

func (b *backwardScan) startStretch(seq uint64) {
	b.to = seq
	b.from = (max(seq, 1) - 1) / chunkEvents * chunkEvents
	b.scannedTo, b.inStretch = b.from, b.inStretch[:0]
}

// advance does one step of the scan: it queries the log once, or scans one chunk. The scan is done when it
// has found enough events or has reached the beginning of the log.
func (b *backwardScan) advance(ctx context.Context, rr *replayReader) (done bool, err error) {
	begin := rr.removedTo()
	switch {
	case b.found == b.wanted || b.to <= begin:
		return true, nil
	case b.usesSeeker(rr):
		found, err := rr.seeker.Newest(ctx, b.set, b.to, b.wanted-b.found)
		if err != nil {
			return false, err
		}
		b.addFound(found)
		return true, nil
	case !b.counted:
		n, err := rr.log.Count(ctx, b.set, b.wanted)
		if err != nil {
			return false, err
		}
		b.wanted, b.counted = min(b.wanted, max(n, b.found)), true
	default:
		elements, to, err := rr.elementsAfter(ctx, b.scannedTo)
		if err != nil {
			return false, err
		}
		b.scanElements(elements, to)
	}
	return b.found == b.wanted || b.to <= begin, nil
}

// scanElements scans elements of the log. The slice must contain all elements after scannedTo, up to the
// parameter to. It may also contain earlier elements.
func (b *backwardScan) scanElements(elements []*Event, to uint64) {
	b.scanned++
	for _, e := range elements {
		if seq := e.ID.Seq; b.scannedTo < seq && seq <= b.to && e.Topic != "" && b.set.Match(e.Topic) {
			b.inStretch = append(b.inStretch, seq)
		}
	}
	if b.scannedTo = to; b.scannedTo < b.to {
		return
	}
	b.addFound(b.inStretch)
	b.startStretch(b.from)
}

// addFound records the newest events of seqs, up to the number that is still wanted.
func (b *backwardScan) addFound(seqs []uint64) {
	if n := min(len(seqs), b.wanted-b.found); n > 0 {
		newest := seqs[len(seqs)-n:]
		b.position = newest[0] - 1
		b.foundSeqs = append(slices.Clone(newest), b.foundSeqs...)
		b.found += n
	}
}

// Limits on the use of a Seeker.
const (
	maxSeekFilters  = 64 // for a larger filter set, the log is scanned
	scansBeforeSeek = 4  // number of chunks scanned before a Seeker searches for wildcards; most scans end earlier
	maxSparse       = 64 // maximum number of elements that one read fetches individually
	denseSeqs       = 8  // if this number of events is found within the length of a chunk, whole chunks are read
)

// usesSeeker reports whether the Seeker is used to find the missing events.
func (b *backwardScan) usesSeeker(rr *replayReader) bool {
	return rr.seeker != nil && b.set.Len() <= maxSeekFilters && (b.set.exact() || b.scanned >= scansBeforeSeek)
}

// sparseSeqs returns the seqs of the found events that must be read one by one. The last element of found is
// excluded, because it is the first seq of the in-memory log. sparseSeqs returns nil if found does not begin
// with seq+1, or if the events are so dense that whole chunks should be read.
func (rr *replayReader) sparseSeqs(found []uint64, seq uint64) []uint64 {
	if rr.seeker == nil || len(found) < 2 || found[0] != seq+1 {
		return nil
	}
	events := found[:len(found)-1]
	if len(events) >= denseSeqs && events[denseSeqs-1] < seq+chunkEvents {
		return nil
	}
	return events
}
